CREATE SCHEMA forum;
SET search_path = forum;

CREATE TABLE member (id int PRIMARY KEY, phone text, email text);
CREATE INDEX ON member (phone);
CREATE INDEX ON member (email);
CREATE TABLE sign_in (id int PRIMARY KEY, member int NOT NULL REFERENCES member, at timestamptz NOT NULL);
CREATE INDEX ON sign_in (member);

INSERT INTO member VALUES
    (1, '13800000001', 'lin@example.com'),
    (2, '13800000001', NULL),
    (3, NULL, 'lin@example.com'),
    (4, '13800000001', 'wu@example.com'),
    (5, '13900000005', 'he@example.com');
INSERT INTO sign_in VALUES
    (11, 1, '2026-05-22 23:59:59+08'),
    (13, 3, '2026-05-22 16:00:00+00'),
    (14, 4, '2026-01-01 12:00:00+08'),
    (15, 5, '2026-08-31 12:00:00+08');
