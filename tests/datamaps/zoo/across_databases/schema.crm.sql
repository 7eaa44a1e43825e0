CREATE SCHEMA crm;
SET search_path = crm;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
CREATE TABLE card (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, code text NOT NULL UNIQUE);
CREATE INDEX ON card (customer);

INSERT INTO customer VALUES (1, '7'), (2, '8');
INSERT INTO card VALUES (10, 1, 'A-100'), (11, 1, 'A-101'), (12, 1, 'A-102'), (20, 2, 'A-200');
