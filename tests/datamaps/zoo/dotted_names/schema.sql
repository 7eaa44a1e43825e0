CREATE SCHEMA mart;
SET search_path = mart;

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
CREATE TABLE sale (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer);
CREATE INDEX ON sale (customer);
CREATE TABLE "sale.2018" (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer);
CREATE INDEX ON "sale.2018" (customer);
-- "sale.2018.id" could be a field of sale, or the id of sale.2018; the lines are those of 2018.
CREATE TABLE "sale.2018.line" (id int PRIMARY KEY, sale int NOT NULL REFERENCES "sale.2018", sold_on date NOT NULL);
CREATE INDEX ON "sale.2018.line" (sale);

INSERT INTO customer VALUES (1, '7'), (2, '8');
INSERT INTO sale VALUES (1, 1), (2, 2), (3, 2);
INSERT INTO "sale.2018" VALUES (1, 2), (2, 1), (3, 1);
INSERT INTO "sale.2018.line" VALUES (1, 1, '2018-01-01'), (2, 2, '2018-01-01'), (3, 2, '2018-01-02'),
    (4, 3, '2022-02-28');
