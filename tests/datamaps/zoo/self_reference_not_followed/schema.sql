CREATE SCHEMA office;
SET search_path = office;

CREATE TABLE staff (id int PRIMARY KEY, badge text, boss int REFERENCES staff);
CREATE INDEX ON staff (badge);
CREATE INDEX ON staff (boss);

INSERT INTO staff VALUES (1, 'B1', NULL), (7, 'B7', 1), (8, 'B8', 7), (9, 'B9', 1);
