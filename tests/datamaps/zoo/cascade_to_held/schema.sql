CREATE SCHEMA bank;
SET search_path = bank;

CREATE TABLE account (id int PRIMARY KEY, account_no text NOT NULL);
CREATE INDEX ON account (account_no);
CREATE TABLE trans (id int PRIMARY KEY, account int NOT NULL REFERENCES account ON DELETE CASCADE, day date NOT NULL);
CREATE INDEX ON trans (account);
-- A cascade towards what is never held harms nobody.
CREATE TABLE nickname (id int PRIMARY KEY, account int NOT NULL REFERENCES account ON DELETE CASCADE);
CREATE INDEX ON nickname (account);
