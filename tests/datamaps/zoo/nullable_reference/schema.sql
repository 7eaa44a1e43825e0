CREATE SCHEMA desk;
SET search_path = desk;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
CREATE TABLE ticket (id int PRIMARY KEY, customer int REFERENCES customer, closed_on date);
CREATE INDEX ON ticket (customer);

INSERT INTO customer VALUES (1, '7'), (2, '8'), (3, '9');
INSERT INTO ticket VALUES
    (1, 1, '2020-01-01'), (2, NULL, '2020-01-01'), (3, 2, '2026-08-31'), (4, 1, NULL), (5, NULL, NULL);
