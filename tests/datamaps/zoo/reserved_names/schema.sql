CREATE SCHEMA "order";
SET search_path = "order";

CREATE TABLE "user" ("check" int PRIMARY KEY, "primary" text NOT NULL);
CREATE INDEX ON "user" ("primary");
CREATE TABLE "select" (
    "table" int PRIMARY KEY, "from" int NOT NULL REFERENCES "user", "where" date NOT NULL, "limit" text
);
CREATE INDEX ON "select" ("from");

INSERT INTO "user" VALUES (1, '7'), (2, '8');
INSERT INTO "select" VALUES (10, 1, '2021-11-22', 'x'), (11, 1, '2021-11-24', 'all'), (20, 2, '2001-01-01', NULL);
