CREATE SCHEMA crm;
SET search_path = crm;

CREATE TABLE visit (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON visit (account);
CREATE VIEW visit_of_today AS SELECT id, account FROM visit;

INSERT INTO visit VALUES (1, '7');
