"""The bank as it might be elsewhere: joint accounts, several accounts, rights given twice, records that are nobody's.

The published bank has one owner an account and one account an owner, so most of what is difficult about shared records
never occurs in it. `mutate` makes it occur, many times over and in every combination, the same way each time.
"""

from datetime import date
from typing import Any

import psycopg

BOUNDARIES = tuple(
    date.fromisoformat(day)
    for day in (
        # Five years before each day that is planned for, and a day either side.
        *("2021-11-22", "2021-11-23", "2021-11-24"),
        *("2022-02-27", "2022-02-28", "2022-03-01"),
        *("2023-02-27", "2023-02-28", "2023-03-01"),
        *("2026-05-31", "2026-06-01", "2026-06-02"),
        # Leap days and what lies next to them: these are held through 28 February and 1 March 2029.
        *("2024-02-28", "2024-02-29", "2024-03-01"),
        # Month ends.
        *("2022-01-31", "2024-12-31", "2026-10-31"),
    )
)

STATEMENTS = """
-- A disponent becomes a second owner: joint accounts, with loans of every status among them.
UPDATE pkdd99.disp SET type = 'OWNER' WHERE type = 'DISPONENT' AND disp_id % 3 = 0;

-- A third owner, who has an account alone as well.
INSERT INTO pkdd99.disp
    SELECT 100000 + d.disp_id, c.client_id, d.account_id, 'OWNER'
    FROM pkdd99.disp d
    CROSS JOIN LATERAL (
        SELECT client_id FROM pkdd99.client WHERE client_id > d.client_id ORDER BY 1 OFFSET 40 LIMIT 1
    ) c
    WHERE d.type = 'OWNER' AND d.disp_id % 41 = 0;

-- An account changes hands: its new owner has several, alone; its former owner has nothing but a client row.
UPDATE pkdd99.disp d SET client_id = other.client_id
    FROM pkdd99.client other
    WHERE other.client_id = d.client_id - 7 AND d.type = 'OWNER' AND d.disp_id % 29 = 0;

-- The same right given twice, and a right to use beside the one to own.
INSERT INTO pkdd99.disp
    SELECT 1000000 + disp_id, client_id, account_id, type FROM pkdd99.disp WHERE disp_id % 13 = 0;
INSERT INTO pkdd99.disp
    SELECT 10000000 + disp_id, client_id, account_id, 'DISPONENT' FROM pkdd99.disp
    WHERE type = 'OWNER' AND disp_id % 17 = 0;

-- Cards of disponents, and two on one disposition.
INSERT INTO pkdd99.card
    SELECT 100000000 + disp_id, disp_id, 'classic', '2022-01-01' FROM pkdd99.disp
    WHERE type = 'DISPONENT' AND disp_id % 2 = 0;
INSERT INTO pkdd99.card
    SELECT 500000000 + card_id, disp_id, 'gold', '2022-02-02' FROM pkdd99.card WHERE card_id % 5 = 0;

-- Accounts of disponents only, with what hangs on them; and one that nobody may use at all.
UPDATE pkdd99.disp SET type = 'DISPONENT'
    WHERE account_id IN (SELECT account_id FROM pkdd99.disp WHERE account_id % 37 = 0 AND type = 'DISPONENT');
INSERT INTO pkdd99.account SELECT 900001, district_id, 'POPLATEK MESICNE', '2021-01-01' FROM pkdd99.district LIMIT 1;
INSERT INTO pkdd99.trans VALUES (9000001, 900001, '2022-01-01', 'PRIJEM', 'VKLAD', 1, 1, '', '', '');
INSERT INTO pkdd99.loan VALUES (900001, 900001, '2022-01-01', 1, 12, 1, 'B', '2023-01-01');
INSERT INTO pkdd99."order" VALUES (900001, 900001, 'AB', '1', 1, 'UVER');

-- Loans of every status on joint accounts, also beside another.
INSERT INTO pkdd99.loan
    SELECT 500000 + account_id, account_id, '2021-01-01', 1, 12, 1, substr('AAABCD', 1 + account_id / 2 % 6, 1),
        '2022-01-01'
    FROM pkdd99.disp WHERE type = 'OWNER'
    GROUP BY account_id HAVING count(DISTINCT client_id) > 1 AND account_id % 2 = 0;
"""


def mutate(connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
    with connection.transaction():
        connection.execute(STATEMENTS.encode())
        for table, column in (("trans", "date"), ("loan", "ends_on")):
            for number, day in enumerate(BOUNDARIES):
                connection.execute(
                    f"UPDATE pkdd99.{table} SET {column} = %s WHERE {table}_id %% %s = %s".encode(),
                    [day, 3 * len(BOUNDARIES), number],
                )
