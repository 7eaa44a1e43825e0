CREATE SCHEMA forum;
SET search_path = forum;

CREATE TABLE profile (
    id int PRIMARY KEY, account text NOT NULL,
    nickname text NOT NULL,
    email text UNIQUE,
    initials varchar(2),
    search text GENERATED ALWAYS AS (lower(nickname)) STORED,
    motto text
);
CREATE INDEX ON profile (account);
CREATE TABLE address (
    id int PRIMARY KEY, profile int NOT NULL REFERENCES profile, phone text, zip text,
    CONSTRAINT phone_has_eleven_digits CHECK (phone ~ '^[0-9]{11}$')
);
CREATE INDEX ON address (profile);

INSERT INTO profile (id, account, nickname, email, initials, motto) VALUES
    (1, '7', 'Lin', 'lin@example.com', 'L', NULL), (2, '8', 'Wu', 'wu@example.com', 'W', 'Onward');
INSERT INTO address VALUES (1, 1, '13800000001', '100000'), (2, 2, '13900000002', '200000');
