CREATE SCHEMA bank;
SET search_path = bank;

CREATE TABLE account (id int PRIMARY KEY, account_no text NOT NULL);
CREATE INDEX ON account (account_no);
CREATE TABLE statement (id int PRIMARY KEY, account int NOT NULL REFERENCES account ON DELETE CASCADE);
CREATE INDEX ON statement (account);
CREATE TABLE trans (
    id int PRIMARY KEY, account int NOT NULL REFERENCES account, day date NOT NULL,
    statement int REFERENCES statement ON DELETE CASCADE
);
CREATE INDEX ON trans (account);
CREATE INDEX ON trans (statement);
