CREATE SCHEMA shop;
SET search_path = shop;

CREATE TABLE product (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
CREATE TABLE wish (
    id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, product int NOT NULL REFERENCES product
);
CREATE INDEX ON wish (customer);
CREATE INDEX ON wish (product);
CREATE TABLE review (id int PRIMARY KEY, account text NOT NULL, product int NOT NULL REFERENCES product);
CREATE INDEX ON review (account);
CREATE INDEX ON review (product);

INSERT INTO product VALUES (1, 'A kettle'), (2, 'A cup');
INSERT INTO customer VALUES (1, '7'), (2, '8');
INSERT INTO wish VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1);
INSERT INTO review VALUES (1, '7', 2), (2, '8', 1), (3, '9', 2);
