CREATE SCHEMA forum;
SET search_path = forum;

CREATE TABLE member (id int PRIMARY KEY, email text NOT NULL, pet text);
CREATE INDEX ON member (email);
