CREATE SCHEMA crm;
SET search_path = crm;

CREATE TABLE raw_visit (id int PRIMARY KEY, account text NOT NULL, day date NOT NULL, hidden boolean NOT NULL);
CREATE INDEX ON raw_visit (account);
CREATE VIEW visit AS SELECT id, account, day FROM raw_visit WHERE NOT hidden;

INSERT INTO raw_visit VALUES
    (1, '7', '2019-01-01', false), (2, '7', '2024-02-29', false), (3, '8', '2019-01-01', false),
    (4, '7', '2019-01-01', true);
