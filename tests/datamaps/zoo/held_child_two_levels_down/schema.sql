CREATE SCHEMA power;
SET search_path = power;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
CREATE TABLE contract (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer);
CREATE INDEX ON contract (customer);
CREATE TABLE invoice (id int PRIMARY KEY, contract int NOT NULL REFERENCES contract, paid_on date NOT NULL);
CREATE INDEX ON invoice (contract);

INSERT INTO customer VALUES (1, '7'), (2, '8'), (3, '8');
INSERT INTO contract VALUES (1, 1), (2, 1), (3, 2), (4, 3);
INSERT INTO invoice VALUES (1, 1, '2022-02-28'), (2, 2, '2020-02-29'), (3, 3, '2021-01-01'), (4, 4, '2021-12-01');
