CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL, phone_number text);
CREATE INDEX ON customer (account);
