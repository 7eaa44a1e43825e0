CREATE SCHEMA "Kunden.EU-2 ""alt""";
SET search_path = "Kunden.EU-2 ""alt""";

CREATE TABLE customer (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON customer (account);
CREATE TABLE visit (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, day date NOT NULL);
CREATE INDEX ON visit (customer);
INSERT INTO customer VALUES (1, '7'), (2, '8');
INSERT INTO visit VALUES (1, 1, '2016-02-29'), (2, 1, '2026-11-23'), (3, 2, '2016-02-29');

-- Tables of the same names in the schema that everybody searches first; they are another system's.
CREATE TABLE public.customer (id int PRIMARY KEY, account text NOT NULL);
CREATE TABLE public.visit (id int PRIMARY KEY, customer int NOT NULL REFERENCES public.customer, day date NOT NULL);
INSERT INTO public.customer VALUES (1, '7');
INSERT INTO public.visit VALUES (1, 1, '2016-02-29'), (9, 1, '2016-02-29');
