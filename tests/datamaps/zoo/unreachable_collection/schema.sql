CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
CREATE TABLE visit (id int PRIMARY KEY, device text NOT NULL);
CREATE TABLE page (id int PRIMARY KEY, visit int NOT NULL REFERENCES visit);
CREATE INDEX ON page (visit);
