CREATE SCHEMA bank;
SET search_path = bank;

CREATE TABLE account (id int PRIMARY KEY, account_no text NOT NULL);
CREATE INDEX ON account (account_no);
CREATE TABLE trans (id int PRIMARY KEY, account int REFERENCES account ON DELETE SET NULL, day date NOT NULL);
CREATE INDEX ON trans (account);
