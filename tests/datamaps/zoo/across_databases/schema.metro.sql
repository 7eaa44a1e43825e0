CREATE SCHEMA metro;
SET search_path = metro;

CREATE TABLE ride (id int PRIMARY KEY, card text NOT NULL, day date NOT NULL);
CREATE INDEX ON ride (card);

INSERT INTO ride VALUES
    (1, 'A-100', '2024-01-31'), (2, 'A-100', '2019-01-01'), (3, 'A-101', '2019-01-01'), (4, 'A-200', '2024-01-01'),
    (5, 'A-999', '2019-01-01');
