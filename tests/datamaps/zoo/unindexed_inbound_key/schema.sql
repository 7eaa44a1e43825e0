CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
-- An index that begins with another column does not serve, nor does one of some rows.
CREATE TABLE purchase (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, paid_on date NOT NULL);
CREATE INDEX ON purchase (paid_on, customer);
CREATE INDEX ON purchase (customer) WHERE paid_on > '2020-01-01';

INSERT INTO customer VALUES (1, '7'), (2, '8');
INSERT INTO purchase VALUES (1, 1, '2019-01-01'), (2, 2, '2019-01-01');
