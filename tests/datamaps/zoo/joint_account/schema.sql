CREATE SCHEMA bank;
SET search_path = bank;

CREATE TABLE client (id int PRIMARY KEY);
CREATE TABLE account (id int PRIMARY KEY);
CREATE TABLE owner (client int REFERENCES client, account int REFERENCES account, PRIMARY KEY (client, account));
CREATE INDEX ON owner (account);
CREATE TABLE trans (id int PRIMARY KEY, account int NOT NULL REFERENCES account, day date NOT NULL);
CREATE INDEX ON trans (account);

-- 10 is the account of both, 30 of client 1 alone.
INSERT INTO client VALUES (1), (2);
INSERT INTO account VALUES (10), (30);
INSERT INTO owner VALUES (1, 10), (2, 10), (1, 30);
INSERT INTO trans VALUES (1, 10, '2018-01-01'), (2, 10, '2018-01-02'), (3, 30, '2024-02-29'), (4, 30, '2018-01-01');
