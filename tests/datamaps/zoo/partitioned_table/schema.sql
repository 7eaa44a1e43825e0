CREATE SCHEMA ledger;
SET search_path = ledger;

CREATE TABLE account (id int PRIMARY KEY, account_no text NOT NULL);
CREATE INDEX ON account (account_no);
CREATE TABLE entry (
    id int, day date, account int NOT NULL REFERENCES account,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE INDEX ON entry (account);
CREATE TABLE entry_2019 PARTITION OF entry FOR VALUES FROM ('2019-01-01') TO ('2020-01-01');
CREATE TABLE entry_2021 PARTITION OF entry FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY HASH (id);
CREATE TABLE entry_2021_0 PARTITION OF entry_2021 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE entry_2021_1 PARTITION OF entry_2021 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE entry_rest PARTITION OF entry DEFAULT;

INSERT INTO account VALUES (1, '7'), (2, '8');
-- Each partition's first row is in the same place of it, and the same number may be in two of them.
INSERT INTO entry VALUES
    (1, '2019-06-30', 1), (1, '2021-11-22', 1), (2, '2021-11-23', 1), (3, '2021-12-31', 1), (1, '2018-01-01', 1),
    (2, '2019-06-30', 2), (4, '2021-11-22', 2);
