CREATE SCHEMA forum;
SET search_path = forum;

CREATE TABLE post (id int PRIMARY KEY, account text);
CREATE INDEX ON post (account);
CREATE TABLE reply (post int REFERENCES post, answer int REFERENCES post, PRIMARY KEY (post, answer));
CREATE INDEX ON reply (answer);

-- 1 is answered by 2, 2 by 3, and 3 by 1 again. Only the first post of a thread bears the account.
INSERT INTO post VALUES (1, '7'), (2, NULL), (3, NULL), (4, '8'), (5, NULL);
INSERT INTO reply VALUES (1, 2), (2, 3), (3, 1), (4, 5);
