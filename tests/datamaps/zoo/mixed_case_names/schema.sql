CREATE SCHEMA "Shop";
SET search_path = "Shop";

-- Two tables whose names differ in nothing but case, as two columns do.
CREATE TABLE "Customer" ("CustomerId" int PRIMARY KEY, "AccountNo" text NOT NULL, accountno text);
CREATE INDEX ON "Customer" ("AccountNo");
CREATE TABLE customer ("CustomerId" int PRIMARY KEY REFERENCES "Customer", "PaidOn" timestamp NOT NULL);

INSERT INTO "Customer" VALUES (1, '7', '8'), (2, '8', '7'), (3, '7', NULL);
INSERT INTO customer VALUES (1, '2023-11-30 23:59:59'), (2, '2023-12-31 00:00:00');
