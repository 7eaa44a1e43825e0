CREATE SCHEMA club;
SET search_path = club;

CREATE TABLE member (id int PRIMARY KEY, account text NOT NULL);
CREATE INDEX ON member (account);
CREATE TABLE team (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE membership (
    member int REFERENCES member, team int REFERENCES team,
    PRIMARY KEY (member, team)
);
CREATE INDEX ON membership (team);

INSERT INTO member VALUES (1, '7'), (2, '8');
INSERT INTO team VALUES (1, 'both of them'), (2, 'the first alone'), (3, 'nobody');
INSERT INTO membership VALUES (1, 1), (2, 1), (1, 2);
