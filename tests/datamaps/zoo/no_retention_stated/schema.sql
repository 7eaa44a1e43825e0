CREATE SCHEMA notes;
SET search_path = notes;

CREATE TABLE note (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON note (account);
CREATE TABLE draft (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON draft (account);
