CREATE SCHEMA bank;
SET search_path = bank;

CREATE TABLE client (id int PRIMARY KEY);
CREATE TABLE account (id int PRIMARY KEY);
CREATE TABLE disposition (
    id int PRIMARY KEY, client int NOT NULL REFERENCES client, account int NOT NULL REFERENCES account,
    kind text NOT NULL
);
CREATE INDEX ON disposition (client);
CREATE INDEX ON disposition (account);
CREATE TABLE trans (id int PRIMARY KEY, account int NOT NULL REFERENCES account, day date NOT NULL);
CREATE INDEX ON trans (account);

-- 1 owns account 10 and may use 20; 2 owns 20 and may use 10; 3 may use 20.
INSERT INTO client VALUES (1), (2), (3);
INSERT INTO account VALUES (10), (20);
INSERT INTO disposition VALUES
    (1, 1, 10, 'OWNER'), (2, 1, 20, 'DISPONENT'), (3, 2, 20, 'OWNER'), (4, 2, 10, 'DISPONENT'), (5, 3, 20, 'DISPONENT');
INSERT INTO trans VALUES (1, 10, '2021-11-22'), (2, 10, '2021-11-23'), (3, 20, '2018-01-01');
