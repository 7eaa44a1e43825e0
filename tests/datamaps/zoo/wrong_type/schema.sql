CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE customer (id int PRIMARY KEY, born date NOT NULL, closed text, level int NOT NULL);
CREATE INDEX ON customer (born);
