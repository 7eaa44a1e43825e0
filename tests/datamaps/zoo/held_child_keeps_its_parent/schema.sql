CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE invoice (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON invoice (account);
CREATE TABLE payment (id int PRIMARY KEY, invoice int REFERENCES invoice, paid_on date NOT NULL);
CREATE INDEX ON payment (invoice);

INSERT INTO invoice VALUES (1, '7'), (2, '7'), (3, '7'), (4, '8');
INSERT INTO payment VALUES
    (11, 1, '2019-01-01'), (12, 1, '2024-01-31'), (13, 1, '2022-07-01'), (21, 2, '2020-06-30'), (41, 4, '2021-11-22');
