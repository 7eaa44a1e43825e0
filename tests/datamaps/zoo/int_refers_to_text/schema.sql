CREATE SCHEMA old;
SET search_path = old;

-- Grown over the years: a customer's number is a number here and a text there, and the other way round for cards.
CREATE TABLE customer (number int PRIMARY KEY, account text NOT NULL, card text);
CREATE INDEX ON customer (account);
CREATE TABLE letter (id int PRIMARY KEY, customer_number text NOT NULL);
CREATE INDEX ON letter (customer_number);
CREATE TABLE ride (id int PRIMARY KEY, card bigint NOT NULL, day date NOT NULL);
CREATE INDEX ON ride (card);

INSERT INTO customer VALUES (7, 'A', '100'), (8, 'B', '0100'), (9, 'C', 'none');
INSERT INTO letter VALUES (1, '7'), (2, '007'), (3, '7 '), (4, '8'), (5, '9');
INSERT INTO ride VALUES (1, 100, '2025-04-30'), (2, 100, '2015-01-01'), (3, 101, '2015-01-01');
