CREATE SCHEMA forum;
SET search_path = forum;

CREATE TABLE member (id int PRIMARY KEY, phone text NOT NULL, account text NOT NULL);
CREATE INDEX ON member (phone);
CREATE INDEX ON member (account);
