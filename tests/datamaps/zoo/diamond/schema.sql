CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
CREATE TABLE purchase (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, paid_on date NOT NULL);
CREATE INDEX ON purchase (customer);
CREATE TABLE complaint (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer);
CREATE INDEX ON complaint (customer);
-- A photo is reached by the purchase it shows and by the complaint it belongs to.
CREATE TABLE photo (
    id int PRIMARY KEY, purchase int NOT NULL REFERENCES purchase, complaint int NOT NULL REFERENCES complaint
);
CREATE INDEX ON photo (purchase);
CREATE INDEX ON photo (complaint);

INSERT INTO customer VALUES (1, '7'), (2, '8'), (3, '9'), (4, '10');
INSERT INTO purchase VALUES (10, 1, '2018-06-30'), (11, 1, '2024-02-29'), (20, 2, '2018-06-30'), (30, 3, '2018-06-30');
INSERT INTO complaint VALUES (10, 1), (11, 1), (20, 2), (40, 4);
-- The last photo is of a purchase of 3 and of a complaint of 4.
INSERT INTO photo VALUES (1, 10, 10), (2, 10, 10), (3, 10, 11), (4, 11, 11), (5, 20, 20), (6, 30, 40);
