CREATE SCHEMA cover;
SET search_path = cover;

CREATE TABLE holder (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON holder (account);
CREATE TABLE policy (id int PRIMARY KEY, holder int NOT NULL REFERENCES holder, status text NOT NULL, ends_on date);
CREATE INDEX ON policy (holder);

INSERT INTO holder VALUES (1, '7'), (2, '8'), (3, '9'), (4, '10');
INSERT INTO policy VALUES (1, 1, 'ended', '2021-11-23'), (2, 1, 'ended', '2016-05-31'), (3, 2, 'active', NULL);
