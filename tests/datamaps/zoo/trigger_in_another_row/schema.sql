CREATE SCHEMA bank;
SET search_path = bank;

CREATE TABLE loan (id int PRIMARY KEY, account text NOT NULL, ended_on date);
CREATE INDEX ON loan (account);
CREATE TABLE payment (id int PRIMARY KEY, loan int NOT NULL REFERENCES loan, paid_on date NOT NULL);
CREATE INDEX ON payment (loan);

INSERT INTO loan VALUES (1, '7', '2021-11-22'), (2, '7', '2024-02-29'), (3, '8', NULL);
INSERT INTO payment VALUES
    (11, 1, '2012-01-01'), (12, 1, '2021-11-22'), (21, 2, '2012-01-01'), (22, 2, '2024-02-29'), (31, 3, '2012-01-01');
