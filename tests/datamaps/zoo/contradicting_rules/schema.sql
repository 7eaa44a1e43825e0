CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL, closed_on date);
CREATE INDEX ON customer (account);
CREATE TABLE purchase (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, paid_on date NOT NULL);
CREATE INDEX ON purchase (customer);
