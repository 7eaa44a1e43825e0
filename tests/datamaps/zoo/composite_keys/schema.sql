CREATE SCHEMA till;
SET search_path = till;

-- A bill is named by its branch and its number: number 1 is there once in every branch.
CREATE TABLE bill (
    branch int, number int, account text NOT NULL,
    PRIMARY KEY (branch, number)
);
CREATE INDEX ON bill (account);
-- The key of an item has the same columns in another order.
CREATE TABLE item (
    position int, number int, branch int, sold_on date NOT NULL,
    PRIMARY KEY (number, branch, position),
    FOREIGN KEY (branch, number) REFERENCES bill
);

INSERT INTO bill (branch, number, account) VALUES (1, 1, '7'), (1, 2, '8'), (2, 1, '8'), (2, 2, '7');
INSERT INTO item (branch, number, position, sold_on) VALUES
    (1, 1, 1, '2019-03-01'), (1, 1, 2, '2021-11-22'),
    (1, 2, 1, '2019-03-01'),
    (2, 1, 1, '2024-05-31'),
    (2, 2, 1, '2021-11-23'), (2, 2, 2, '2018-01-01');
