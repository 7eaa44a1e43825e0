CREATE SCHEMA drive;
SET search_path = drive;

CREATE TABLE folder (id int PRIMARY KEY, account text, parent int REFERENCES folder, closed_on date NOT NULL);
CREATE INDEX ON folder (account);
CREATE INDEX ON folder (parent);

-- Only the outermost folder bears the account. 1 holds 2 and 5, 2 holds 3, 3 holds 4.
INSERT INTO folder VALUES
    (1, '7', NULL, '2026-01-01'), (2, NULL, 1, '2026-01-02'), (3, NULL, 2, '2026-05-23'), (4, NULL, 3, '2026-01-04'),
    (5, NULL, 1, '2026-01-05'),
    (8, '8', NULL, '2026-01-08'), (9, NULL, 8, '2026-01-09'), (10, NULL, 9, '2026-01-10');
