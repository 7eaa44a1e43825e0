CREATE SCHEMA metro;
SET search_path = metro;

CREATE TABLE card (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON card (account);
-- No foreign key: the database would let a card go and leave its rides.
CREATE TABLE ride (id int PRIMARY KEY, card int NOT NULL, day date NOT NULL);
CREATE INDEX ON ride (card);

INSERT INTO card VALUES (1, '7'), (2, '7'), (3, '8');
INSERT INTO ride VALUES (1, 1, '2024-05-06'), (2, 1, '2010-01-01'), (3, 2, '2010-01-01'), (4, 3, '2024-01-01');
