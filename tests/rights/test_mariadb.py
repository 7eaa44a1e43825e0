"""What only MariaDB does. All that every database is held to stands in the modules marked `each_server`."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from rights.connectors.base import Key, Refused, Unavailable
from rights.connectors.registry import check_system, connect
from rights.connectors.sqlcheck import Finding, check_edges
from rights.connectors.sqlgrants import grant_system
from rights.kernel.plan import Fate
from rights.kernel.states import Kind
from rights.planning import Matter
from rights.survey import survey
from tests.rights import test_masks as masks
from tests.rights.test_sql_connector import FAMILY, FAMILY_MAP
from tests.rights.zoo import NOW, RULES, Collections, MariaZoo, MariaZoos

pytestmark = pytest.mark.parametrize("make_zoo", ["mariadb"], indirect=True)
ME = {"account_no": "7"}
ONE: Collections = {"t": {"fields": ["id", "account, is account_no"]}}
ROWS = "CREATE TABLE t (id int PRIMARY KEY, account varchar(20)); INSERT INTO t VALUES (1, '7'), (2, '8');"


# --- who is who


@pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_bin", "latin1_swedish_ci"])
def test_a_person_is_only_who_is_written_exactly_so(make_zoo: MariaZoos, collation: str) -> None:
    """The server finds 'a7' and 'A7 ' equal to 'A7'; they may be three people."""
    charset = collation.partition("_")[0]
    zoo = make_zoo(
        f"CREATE TABLE t (id int PRIMARY KEY, account varchar(20) CHARACTER SET {charset} COLLATE {collation});"
        "INSERT INTO t VALUES (1, 'A7'), (2, 'a7'), (3, 'A7 ');",
        ONE,
    )
    assert zoo.erase({"account_no": "A7"}) == {"t": 1}
    assert zoo.sql("SELECT id FROM zoo.t ORDER BY id") == [(2,), (3,)]


def test_a_row_of_two_people_whose_names_differ_by_case_goes_to_a_person(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b varchar(20)); INSERT INTO t VALUES (1, 'A7', 'a7');",
        {"t": {"fields": ["id", "a, is account_no", "b, is account_no"]}},
    )
    assert zoo.fates({"account_no": "A7"}) == {("t", "person"): 1}


def test_a_survey_tells_apart_people_whom_the_database_finds_equal(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account varchar(20));"
        "INSERT INTO t VALUES (1, 'A7'), (2, 'a7'), (3, 'A7 '), (4, '客户'), (5, '10'), (6, '9');",
        ONE,
    )
    lines = survey(kind=Kind.DELETION, identity="account_no", data_map=zoo.data_map, rules=RULES, now=NOW)
    found = [json.loads(line) for line in lines]
    # Numbers by their size, then text by its bytes.
    assert [line["subject"]["account_no"] for line in found] == ["9", "10", "A7", "A7 ", "a7", "客户"] or [
        line["subject"]["account_no"] for line in found
    ] == ["A7", "A7 ", "a7", "客户", "9", "10"]
    assert all(line["collections"]["zoo.t"]["erase"] == 1 for line in found)


def test_a_survey_of_several_groups_leaves_nobody_out(make_zoo: MariaZoos, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each group has a statement of its own, and a connection there has one stream at a time."""
    monkeypatch.setattr("rights.connectors.sql.SURVEYED", 3)
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account varchar(20), state varchar(9));
        INSERT INTO t SELECT n, n % 20, IF(n % 3 = 0, 'open', 'paid') FROM generate_series(1, 59) n;""",
        {"t": {"fields": ["id", "account, is account_no", "state"]}},
        blockers={
            "BLOCK.LOAN": {"in": "zoo.t", "when": [{"field": "state", "op": "eq", "value": "open"}]},
            "BLOCK.PENDING": {"in": "zoo.t", "when": [{"field": "id", "op": "lt", "value": 8}]},
        },
    )
    zoo.sql("DELETE FROM t WHERE account < 9 AND state = 'open'")
    lines = survey(kind=Kind.DELETION, identity="account_no", data_map=zoo.data_map, rules=RULES, now=NOW)
    found = {line["subject"]["account_no"]: line for line in map(json.loads, lines)}
    assert found.keys() == {str(n) for n in range(20)}
    assert len({tuple(line["blockers"]) for line in found.values()}) == 3
    counted = {account: sum(line["collections"]["zoo.t"][fate] for fate in ("erase", "blocked"))
               for account, line in found.items()}  # fmt: skip
    assert counted == dict(zoo.sql("SELECT account, count(*) FROM t GROUP BY account"))
    with zoo.reading(ME) as (snapshot, _):
        left = snapshot.connection.exec_driver_sql("SELECT @@sort_buffer_size, @@global.sort_buffer_size")  # type: ignore[attr-defined]
        ours, servers = left.one()
    assert ours == servers, "what a survey sorts in is not left to whoever has the connection next"


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("int unsigned", "4000000000", 1),
        ("bigint unsigned", "18446744073709551615", 1),
        ("int unsigned", "-1", 0),
        ("tinyint(1)", "1", 1),
        ("tinyint(1)", "true", 0),
        ("enum('4000000000', 'x')", "4000000000", 1),
    ],
)
def test_numbers_without_a_sign_go_as_far_as_they_do(make_zoo: MariaZoos, column: str, value: str, found: int) -> None:
    zoo = make_zoo(f"CREATE TABLE t (id int PRIMARY KEY, account {column});", ONE)
    zoo.sql("INSERT INTO zoo.t VALUES (1, %s)", [value if found else 1])
    assert zoo.fates({"account_no": value}) == ({("t", "erase"): 1} if found else {})


# --- keys


KEYS: list[tuple[str, Sequence[object]]] = [
    ("varchar(20) COLLATE utf8mb4_unicode_ci", ["重庆'\"\\", "a%s", "", "😀"]),
    ("varchar(20) CHARACTER SET latin1", ["é", "a:b", "?"]),
    ("decimal(20,4)", [Decimal("12345678901234.5678"), Decimal("-0.0001")]),
    ("bigint", [-(2**63), 2**63 - 1]),
    ("bigint unsigned", [2**64 - 1, 0]),
    ("datetime(6)", [datetime(2026, 1, 2, 3, 4, 5, 678901), datetime(1999, 12, 31)]),  # noqa: DTZ001 - it has no zone
    ("date", [date(2026, 1, 2), date(1000, 1, 1)]),
    ("date NOT NULL", ["0000-00-00", "1990-00-00", "2026-01-02"]),
    ("datetime(3)", ["0000-00-00", "1990-05-00 01:02:03.004"]),
    ("binary(16)", [bytes(range(16)), b"\xff" * 16]),
    ("varbinary(9)", [b"\x00'\\", b""]),
    ("uuid", ["0b2f7d0e-6f4e-4c62-9d0a-111111111111", "0b2f7d0e-6f4e-4c62-9d0a-222222222222"]),
    ("enum('a', 'B')", ["a", "B"]),
    ("time", ["12:34:56", "23:59:59"]),
    ("time(3)", ["00:00:00.500", "-00:30:00", "-838:59:59", "30:00:00"]),
    ("boolean", [True, False]),
    ("tinyint(1)", [2, 1, 0, -128]),
]


@pytest.mark.parametrize(("type_", "values"), KEYS, ids=[type_ for type_, _ in KEYS])
def test_a_key_of_any_type_is_told_acted_on_and_found_again(
    make_zoo: MariaZoos, type_: str, values: Sequence[object]
) -> None:
    zoo = make_zoo(
        f"CREATE TABLE t (code {type_}, n int, account varchar(20), PRIMARY KEY (code, n));",
        {"t": {"fields": ["code", "n", "account, is account_no"]}},
    )
    for value in values:
        zoo.sql("INSERT INTO zoo.t VALUES (%s, 1, '7'), (%s, 2, '8')", [value, value])
    connector = connect("zoo", zoo.data_map)
    with zoo.reading(ME) as (snapshot, policies):
        keys = snapshot.find_keys(policies, "zoo.t")
    assert len(keys) == len(values)
    assert set(connector.find_present("zoo.t", keys)) == set(keys)
    assert sorted(map(str, all_keys(zoo))) == sorted(map(str, [*keys, *((key[0], 2) for key in keys)]))
    assert zoo.erase(ME) == {"t": len(values)}
    assert connector.find_present("zoo.t", keys) == []
    assert zoo.sql("SELECT count(*) FROM zoo.t WHERE account = '8'") == [(len(values),)]
    for value in values:
        zoo.sql("INSERT INTO zoo.t VALUES (%s, 1, '7')", [value])
    assert connector.erase_again("zoo.t", keys) == len(values)


def test_a_tinyint_of_width_one_holds_more_than_yes_and_no(make_zoo: MariaZoos) -> None:
    """BOOLEAN is written so there, and so is a small number."""
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account varchar(20), state tinyint(1), locked boolean);
        INSERT INTO t VALUES (1, '7', 2, true), (2, '7', 1, false), (3, '7', 0, NULL)""",
        {"t": {"fields": ["id", "account, is account_no", "state", "locked"]}},
        blockers={
            "BLOCK.LOAN": {"in": "zoo.t", "when": [{"field": "state", "op": "eq", "value": 2}]},
            "BLOCK.PENDING": {"in": "zoo.t", "when": [{"field": "locked", "op": "eq", "value": True}]},
        },
    )
    assert [finding for finding in ask(zoo) if finding.severity == "fault"] == []
    assert {fact.key: fact.count for fact in zoo.plan(ME).blockers} == {"BLOCK.LOAN": 1, "BLOCK.PENDING": 1}
    blocks: list[bytes] = []
    with zoo.reading(ME) as (snapshot, _):
        assert snapshot.copy_rows("zoo.t", redact=["account"], form="csv", write=blocks.append) == 3
    assert b"".join(blocks).decode() == "id,state,locked\n1,2,1\n2,1,0\n3,0,\n"


def all_keys(zoo: MariaZoo) -> list[Key]:
    return [key for page in connect("zoo", zoo.data_map).stream_keys("zoo.t") for key in page]


def test_a_circle_of_text_keys_is_walked_to_its_end(make_zoo: MariaZoos) -> None:
    """The first part of a recursive CTE says how wide its columns are; nothing may be cut off."""
    long = "x" * 30
    zoo = make_zoo(
        f"""
        CREATE TABLE node (id varchar(40) PRIMARY KEY, account varchar(20));
        CREATE TABLE link (a varchar(40), b varchar(40), PRIMARY KEY (a, b));
        INSERT INTO node VALUES ('1', '7'), ('{long}2', NULL), ('{long}3', NULL), ('4', '8'), ('5', NULL);
        INSERT INTO link VALUES ('1', '{long}2'), ('{long}2', '{long}3'), ('{long}3', '1'), ('4', '5');
        """,
        {"node": {"fields": ["id, -> link.a", "account, is account_no"]}, "link": {"fields": ["a", "b, -> node.id"]}},
    )
    assert zoo.fates(ME) == {("node", "erase"): 3, ("link", "erase"): 3}
    zoo.erase(ME)
    assert zoo.sql("SELECT id FROM zoo.node ORDER BY 1") == [("4",), ("5",)]


def test_columns_of_two_orders_of_letters_are_compared(make_zoo: MariaZoos) -> None:
    """Left to itself the server refuses to ("illegal mix of collations")."""
    zoo = make_zoo(
        """
        CREATE TABLE a (code varchar(20) COLLATE utf8mb4_unicode_ci PRIMARY KEY, account varchar(20));
        CREATE TABLE b (id int PRIMARY KEY, code varchar(20) COLLATE utf8mb4_general_ci);
        CREATE TABLE c (id int PRIMARY KEY, code varchar(20) CHARACTER SET latin1);
        INSERT INTO a VALUES ('k1', '7'), ('k2', '8');
        INSERT INTO b VALUES (1, 'k1'), (2, 'k2'); INSERT INTO c VALUES (1, 'k1'), (2, 'k2');
        """,
        {
            "a": {"fields": ["code", "account, is account_no"]},
            "b": {"fields": ["id", "code, <- a.code"]},
            "c": {"fields": ["id", "code, <- a.code"]},
        },
    )
    assert zoo.erase(ME) == {"a": 1, "b": 1, "c": 1}


# --- days


def test_a_day_of_zeros_is_none_and_holds_without_an_end(make_zoo: MariaZoos) -> None:
    """Compared as a day it would be one that is long over."""
    zoo = make_zoo(
        "SET sql_mode = '';"
        "CREATE TABLE pay (id int PRIMARY KEY, account varchar(20), day date NOT NULL, at datetime NOT NULL);"
        "INSERT INTO pay VALUES (1, '7', '0000-00-00', '0000-00-00'), (2, '7', '2010-01-01', '2010-01-01');",
        {"pay": {"fields": ["id", "account, is account_no", "day", "at"], "class": "TXN", "trigger": "day"}},
    )
    lines = {line.fate: line for line in zoo.plan(ME).lines}
    assert (lines[Fate.HOLD].count, lines[Fate.HOLD].open_ended, lines[Fate.ERASE].count) == (1, 1, 1)
    assert zoo.erase(ME) == {"pay": 1}


def test_a_day_of_zeros_in_a_key_holds_too_and_names_its_row(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        "SET sql_mode = '';"
        "CREATE TABLE pay (account varchar(20), day date, PRIMARY KEY (account, day));"
        "INSERT INTO pay VALUES ('7', '0000-00-00'), ('7', '2010-01-01');",
        {"pay": {"fields": ["account, is account_no", "day"], "class": "TXN", "trigger": "day"}},
    )
    assert zoo.fates(ME) == {("pay", "hold"): 1, ("pay", "erase"): 1}
    assert zoo.erase(ME) == {"pay": 1}
    assert zoo.sql("SELECT CAST(day AS CHAR) FROM pay") == [("0000-00-00",)]


@pytest.mark.parametrize("zone", ["+00:00", "-05:00", "+08:00"])
def test_a_moment_belongs_to_its_day_in_shanghai_wherever_the_server_is(make_zoo: MariaZoos, zone: str) -> None:
    zoo = make_zoo(
        """CREATE TABLE pay (id int PRIMARY KEY, account varchar(20), at timestamp(3) NULL);
        CREATE TABLE local (id int PRIMARY KEY, account varchar(20), at datetime(3));
        SET time_zone = '+00:00';
        INSERT INTO pay VALUES (1, '7', '2021-11-22 15:59:59.999'), (2, '7', '2021-11-22 16:00');
        INSERT INTO local VALUES (1, '7', '2021-11-22 23:59:59.999'), (2, '7', '2021-11-23 00:00');""",
        {
            "pay": {"fields": ["id", "account, is account_no", "at"], "class": "TXN", "trigger": "at"},
            "local": {"fields": ["id", "account, is account_no", "at"], "class": "TXN", "trigger": "at"},
        },
    )
    zoo.sql("SET GLOBAL time_zone = %s", [zone])
    try:
        plan = zoo.plan(ME)
    finally:
        zoo.sql("SET GLOBAL time_zone = 'SYSTEM'")
    # 2021-11-22 was held through 2026-11-22, which is over; 2021-11-23, which begins at 16:00 UTC, is held today.
    assert {(line.collection, line.fate, line.count, line.last_release) for line in plan.lines} == {
        ("zoo.pay", Fate.ERASE, 1, None),
        ("zoo.pay", Fate.HOLD, 1, date(2026, 11, 23)),
        ("zoo.local", Fate.ERASE, 1, None),
        ("zoo.local", Fate.HOLD, 1, date(2026, 11, 23)),
    }


def test_what_is_set_now_is_set_as_the_clock_in_shanghai_shows(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account varchar(20), day date, at datetime, moment timestamp NULL);"
        "INSERT INTO t (id, account) VALUES (1, '7'), (2, '8');",
        {"t": {"fields": ["id", "account, is account_no", "day", "at", "moment"]}},
    )
    seed = Matter(kind=Kind.DELETION, identities=ME).seed(now=NOW)
    now = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)  # the 23rd at one in the morning
    values = {"day": "@today", "at": "@now", "moment": "@now"}
    assert connect("zoo", zoo.data_map).set_fields(seed, "zoo.t", match={"id": 1}, values=values, now=now) == 1
    night = datetime(2026, 11, 23, 1, 0)  # noqa: DTZ001 - as the column has it
    assert zoo.sql("SELECT day, at, moment FROM zoo.t ORDER BY id") == [(date(2026, 11, 23), night, night), (None,) * 3]


# --- when a system does not do as it is asked


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE t ENGINE = MyISAM", "knows no transactions"),
        ("ALTER TABLE t ENGINE = Aria", "knows no transactions"),
        ("ALTER TABLE t ADD SYSTEM VERSIONING", "keeps every row that is deleted as history"),
        ("ALTER TABLE t RENAME TO old; CREATE VIEW t AS SELECT * FROM old", "is a view"),
    ],
)
def test_what_cannot_be_worked_on_is_refused_by_its_name_with_what_to_do(
    make_zoo: MariaZoos, change: str, said: str
) -> None:
    zoo = make_zoo(f"{ROWS} {change};", ONE)
    with pytest.raises(Refused, match=said) as caught:
        connect("zoo", zoo.data_map)
    assert "t " in str(caught.value)
    (fault,) = [finding for finding in ask(zoo) if finding.severity == "fault"]
    assert fault.key == "collections.zoo.t"
    assert said in fault.reason


def test_a_server_that_is_not_there_is_unknown_and_never_clear(
    make_zoo: MariaZoos, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = make_zoo(ROWS, ONE)
    monkeypatch.setenv("SYSTEM_ZOO_URL", "mariadb://zoo:secret@127.0.0.1:1/")
    plan = zoo.plan(ME)
    assert plan.unknown == ("zoo",)
    assert plan.count(*(set(Fate) - {Fate.UNKNOWN})) == 0
    with pytest.raises(Unavailable) as caught:
        check_system("zoo", zoo.data_map, dataset_file="")
    assert "secret" not in str(caught.value)


def test_a_database_that_goes_away_or_locks_us_out_is_no_absence(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(ROWS, ONE)
    assert zoo.fates(ME) == {("t", "erase"): 1}
    zoo.sql("DROP TABLE zoo.t")
    with pytest.raises(Refused, match="1146"), zoo.reading(ME) as (snapshot, policies):
        snapshot.find_keys(policies, "zoo.t")


def test_a_statement_that_takes_too_long_ends_by_itself(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(ROWS, ONE)
    assert zoo.plan(ME).unknown == ()
    with zoo.server.connect(database="zoo") as locked, locked.cursor() as cursor:
        cursor.execute("LOCK TABLES t WRITE")
        with pytest.raises(Unavailable), zoo.reading(ME, patience=0.5) as (snapshot, policies):
            snapshot.find_keys(policies, "zoo.t", limit=1)
        waiting = "SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting%%lock%%'"
        assert zoo.server.run(waiting.replace("%%", "%")) == [(0,)]
    assert zoo.plan(ME).unknown == ()


def test_a_look_at_how_tables_are_made_ends_by_itself_too(make_zoo: MariaZoos) -> None:
    """The server has no limit of its own."""
    zoo = make_zoo(ROWS, ONE)
    connector = connect("zoo", zoo.data_map)
    with connector.engine.connect() as used:  # type: ignore[attr-defined]
        assert used.exec_driver_sql("SELECT @@max_statement_time, @@global.max_statement_time").one() == (20, 0)


def test_a_row_that_somebody_else_holds_is_not_waited_for_for_ever(
    make_zoo: MariaZoos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rights.connectors.sql.ACT_SECONDS", 0.5)
    zoo = make_zoo(ROWS, ONE)
    with zoo.server.connect(database="zoo") as busy, busy.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE t SET account = '7' WHERE id = 1")
        cursor.execute("SELECT id FROM t WHERE id = 1 FOR UPDATE")
        with pytest.raises(Unavailable, match="did not answer in time"):
            zoo.erase(ME)
    assert zoo.erase(ME) == {"t": 1}


def test_a_missing_right_is_a_refusal_that_says_what_to_do(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(ROWS, ONE)
    role = zoo.role
    zoo.sql(f"REVOKE ALL ON zoo.* FROM {role}@localhost; GRANT SELECT ON zoo.* TO {role}@localhost")
    with pytest.raises(Refused, match=r"1142.*datamap grants"):
        zoo.erase(ME)
    assert zoo.sql("SELECT count(*) FROM zoo.t") == [(2,)]


def test_a_server_that_is_read_only_says_so_and_is_tried_again(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(ROWS, ONE)
    zoo.sql("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(Unavailable, match="read-only"):
            zoo.erase(ME)
        (fault,) = [finding for finding in ask(zoo) if finding.severity == "fault"]
        assert "SET GLOBAL read_only = OFF" in fault.remedy
    finally:
        zoo.sql("SET GLOBAL read_only = 0")
    assert zoo.sql("SELECT count(*) FROM zoo.t") == [(2,)]


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("UNIQUE", "name"),
        (", CONSTRAINT no_stars CHECK (name <> '***')", "no_stars"),
    ],
)
def test_a_mask_that_a_constraint_forbids_names_it_and_no_value(make_zoo: MariaZoos, rule: str, name: str) -> None:
    zoo = make_zoo(
        f"CREATE TABLE t (id int PRIMARY KEY, account varchar(20), name varchar(20) {rule});"
        "INSERT INTO t VALUES (4711, '7', 'secret''one'), (2, '7', 'other')",
        {
            "t": {
                "fields": ["id", "account, is account_no", "name"],
                "erase": {"method": "mask", "fields": {"name": {"constant": "***"}}},
            }
        },
    )
    with pytest.raises(Refused, match=f"constraint {name}") as caught:
        zoo.erase(ME)
    assert "4711" not in str(caught.value)
    assert "secret" not in str(caught.value)
    faults = [finding for finding in ask(zoo) if finding.severity == "fault"]
    assert faults
    assert name in faults[0].reason


@pytest.mark.parametrize("language", ["hu_HU", "ja_JP", "zh_CN"])
def test_a_refusal_shows_no_value_in_any_language_of_the_server(make_zoo: MariaZoos, language: str) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account varchar(20), name varchar(20) UNIQUE);"
        "INSERT INTO t VALUES (1, '7', '***'), (2, '7', 'other')",
        {
            "t": {
                "fields": ["id", "account, is account_no", "name"],
                "erase": {"method": "mask", "fields": {"name": {"constant": "***"}}},
            }
        },
    )
    zoo.sql("SET GLOBAL lc_messages = %s", [language])
    try:
        with pytest.raises(Refused, match=r"constraint (name|\(unique\))\.$") as caught:
            zoo.erase(ME)
    finally:
        zoo.sql("SET GLOBAL lc_messages = 'en_US'")
    assert "*" not in str(caught.value)


# --- masks

MASKED: dict[str, Any] = {
    "nick": {"pseudonym": "customer"},
    "digest": {"hash": "sha256"},
    "phone": {"format": "phone"},
    "born": {"date": "year"},
    "seen": {"date": "month"},
    "logged": {"date": "year"},
    "note": {"constant": "***"},
    "gone": "null",
}


def test_each_way_of_masking_writes_the_same_as_on_postgresql_and_is_known_again(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account varchar(20), nick varchar(90), digest varchar(71),
            phone varchar(11), born date, seen timestamp NULL, logged datetime, note varchar(9), gone varchar(9));
        INSERT INTO t VALUES (1, '7', '若兰', '若兰', '13800138000', '1988-02-29', '2026-03-31 23:30',
            '2026-07-09 12:30', 'x', 'x'),
            (2, '7', '建国', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
            (3, '8', 'a', 'a', '1', NULL, NULL, NULL, 'y', 'y');""",
        {
            "t": {
                "fields": ["id", "account, is account_no", *MASKED],
                "erase": {"method": "mask", "fields": MASKED},
            }
        },
    )
    theirs = zoo.sql("SELECT * FROM zoo.t WHERE id = 3")
    assert [finding for finding in ask(zoo) if finding.severity == "fault"] == []
    assert zoo.erase(ME) == {"t": 2}
    rows = zoo.sql(f"SELECT {', '.join(MASKED)} FROM zoo.t WHERE id < 3 ORDER BY id")
    assert rows == [
        (
            masks.pseudonym("customer", "若兰"), f"sha256:{hashlib.sha256('若兰'.encode()).hexdigest()}",
            masks.phone("13800138000"), date(1988, 1, 1), *map(datetime.fromisoformat, ("2026-03-01", "2026-01-01")),
            "***", None,
        ),
        (masks.pseudonym("customer", "建国"), None, None, None, None, None, "***", None),
    ]  # fmt: skip
    assert zoo.sql("SELECT * FROM zoo.t WHERE id = 3") == theirs
    connector = connect("zoo", zoo.data_map)
    assert zoo.fates(ME) == {}
    assert connector.find_present("zoo.t", [(1,), (2,), (3,)]) == [(3,)]
    assert connector.erase_again("zoo.t", [(1,), (2,)]) == 2
    assert zoo.sql(f"SELECT {', '.join(MASKED)} FROM zoo.t WHERE id < 3 ORDER BY id") == rows


def test_a_day_of_zeros_is_masked_as_it_is(make_zoo: MariaZoos) -> None:
    """It has no first day of its year, and null would be refused with all the others of its batch."""
    how = {"born": {"date": "year"}, "seen": {"date": "month"}}
    zoo = make_zoo(
        """SET sql_mode = '';
        CREATE TABLE t (id int PRIMARY KEY, account varchar(20), born date NOT NULL, seen datetime NOT NULL);
        INSERT INTO t VALUES (1, '7', '0000-00-00', '0000-00-00'), (2, '7', '1990-00-00', '1990-05-00'),
            (3, '7', '1990-05-00', '1990-00-00'), (4, '7', '1988-02-29', '2026-03-31 23:30');""",
        {"t": {"fields": ["id", "account, is account_no", *how], "erase": {"method": "mask", "fields": how}}},
    )
    assert [finding for finding in ask(zoo) if finding.severity == "fault"] == []
    assert connect("zoo", zoo.data_map).find_present("zoo.t", [(1,), (2,), (3,), (4,)]) == [(3,), (4,)]
    assert zoo.erase(ME) == {"t": 2}
    assert zoo.sql("SELECT CAST(born AS CHAR), CAST(seen AS CHAR) FROM t ORDER BY id") == [
        ("0000-00-00", "0000-00-00 00:00:00"), ("1990-00-00", "1990-05-00 00:00:00"),
        ("1990-01-01", "1990-00-00 00:00:00"), ("1988-01-01", "2026-03-01 00:00:00"),
    ]  # fmt: skip
    assert zoo.fates(ME) == {}


def test_a_mask_that_the_server_cannot_work_out_is_refused_with_another(make_zoo: MariaZoos) -> None:
    how = {"card": {"format": "resident_id"}}
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account varchar(20), card char(18)); INSERT INTO t VALUES (1, '7', 'x');",
        {"t": {"fields": ["id", "account, is account_no", "card"], "erase": {"method": "mask", "fields": how}}},
    )
    with pytest.raises(Refused, match=r"zoo.t.card cannot be masked as format: resident_id on MariaDB: .*pseudonym"):
        connect("zoo", zoo.data_map)
    (fault,) = [finding for finding in ask(zoo) if finding.severity == "fault"]
    assert fault.key == "collections.zoo.t.erase.card"


def test_what_may_only_be_stored_is_marked_once(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        "CREATE TABLE pay (id int PRIMARY KEY, account varchar(20), day date, locked boolean NOT NULL);"
        "INSERT INTO pay VALUES (1, '7', '2024-02-29', 0), (2, '7', '2010-01-01', 0), (3, '8', '2024-02-29', 0);",
        {
            "pay": {
                "fields": ["id", "account, is account_no", "day", "locked"],
                "class": "TXN",
                "trigger": "day",
                "restrict": {"flag": {"locked": True}},
            }
        },
    )
    connector = connect("zoo", zoo.data_map)
    seed = Matter(kind=Kind.DELETION, identities=ME).seed(now=NOW)
    with zoo.reading(ME) as (snapshot, policies):
        assert list(snapshot.stream_restricted(policies, "zoo.pay")) == [[(1,)]]
        keys = snapshot.find_unflagged(policies, "zoo.pay", limit=10)
    assert keys == [(1,)]
    assert connector.flag(seed, policies, "zoo.pay", [(1,), (2,), (3,)]) == 1
    assert zoo.sql("SELECT id FROM zoo.pay WHERE locked") == [(1,)]
    assert connector.flag_again("zoo.pay", [(1,), (3,)]) == 1
    assert zoo.sql("SELECT id FROM zoo.pay WHERE locked") == [(1,), (3,)]


def test_a_trigger_that_undoes_a_change_is_named(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(f"{ROWS} CREATE TRIGGER keeps BEFORE UPDATE ON t FOR EACH ROW SET NEW.account = OLD.account;", ONE)
    assert connect("zoo", zoo.data_map).find_obstacles("zoo.t") == ["keeps"]


# --- the check against the live database


def ask(zoo: MariaZoo) -> list[Finding]:
    live, found = check_system("zoo", zoo.data_map, dataset_file="datasets/zoo.yml")
    return [*found, *check_edges(zoo.data_map, {"zoo": live})]


def test_a_sound_map_has_no_finding_with_the_rights_that_it_is_granted(make_zoo: MariaZoos) -> None:
    """The statements that `datamap grants` lists are all that the role needs, to be checked and to act."""
    zoo = make_zoo(
        FAMILY.format(rule="") + "ALTER TABLE customer ADD UNIQUE (account);",
        {**FAMILY_MAP, "item": {**FAMILY_MAP["item"], "erase": {"method": "delete"}}},
    )
    zoo.sql("INSERT INTO zoo.orders VALUES (1, 1, '2010-05-05', NULL), (2, 2, '2010-05-05', NULL)")
    zoo.sql("INSERT INTO zoo.item VALUES (1, 1), (2, 2)")
    live, _ = check_system("zoo", zoo.data_map, dataset_file="")
    grants = grant_system(zoo.data_map, live, system="zoo", role=f"{zoo.role}@localhost")
    zoo.sql(f"REVOKE ALL ON zoo.* FROM {zoo.role}@localhost")
    for grant in grants:
        zoo.server.run(grant)
    assert ask(zoo) == []
    assert zoo.erase(ME) == {"item": 1, "orders": 1, "customer": 1}


def test_rights_that_lack_are_faults_with_the_grant_that_mends_them(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(ROWS, ONE)
    account = f"{zoo.role}@localhost"
    zoo.sql(f"REVOKE ALL ON zoo.* FROM {account}; GRANT SELECT (id) ON zoo.t TO {account}")
    # The server shows a role only what it has a right on.
    faults = [finding for finding in ask(zoo) if finding.severity == "fault"]
    assert [fault.key for fault in faults] == ["zoo.t.account", "zoo.t"]
    grant = "GRANT SELECT (`account`, `id`), DELETE ON `zoo`.`t` TO"
    assert f"If it is there, {account} has no right on it: {grant}" in faults[0].remedy
    zoo.server.run(faults[0].remedy.partition(": ")[2])
    assert [finding for finding in ask(zoo) if finding.severity == "fault"] == []
    zoo.server.run(f"REVOKE DELETE ON zoo.t FROM {account}; GRANT REFERENCES ON zoo.t TO {account}")
    (fault,) = [finding for finding in ask(zoo) if finding.severity == "fault"]
    assert fault.reason == f"{account} may not delete its rows."
    zoo.server.run(fault.remedy)
    assert [finding for finding in ask(zoo) if finding.severity == "fault"] == []


def test_what_is_missing_or_of_another_type_is_named(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int, account blob, day int); CREATE TABLE tt (id int PRIMARY KEY);",
        {
            "t": {"fields": ["id, pk", "account, is account_no", "day", "dy"], "trigger": "day", "class": "TXN"},
            "tttt": {"fields": ["id, pk", "t, <- t.id"]},
        },
    )
    reasons = {finding.key: finding.reason for finding in ask(zoo) if finding.severity == "fault"}
    assert reasons.keys() == {"zoo.t.dy", "zoo.t.account", "collections.zoo.t.trigger", "zoo.tttt"}


def test_a_cascade_towards_a_held_record_is_a_fault_whose_remedy_mends_it(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(FAMILY.format(rule="ON DELETE CASCADE"), FAMILY_MAP)
    faults = [finding for finding in ask(zoo) if finding.severity == "fault"]
    assert [fault.key for fault in faults] == ["collections.zoo.customer.erase"]
    assert "ON DELETE CASCADE" in faults[0].reason
    zoo.server.run(faults[0].remedy)
    assert [finding for finding in ask(zoo) if finding.severity == "fault"] == []


def test_a_key_from_another_database_is_told(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(ROWS, ONE)
    zoo.sql(
        "DROP DATABASE IF EXISTS other; CREATE DATABASE other;"
        "CREATE TABLE other.u (id int PRIMARY KEY, t int, FOREIGN KEY (t) REFERENCES zoo.t (id) ON DELETE CASCADE);"
        f"GRANT ALL ON other.* TO {zoo.role}@localhost"
    )
    (fault,) = [finding for finding in ask(zoo) if finding.severity == "fault"]
    assert "deletes rows of other.u" in fault.reason
    zoo.sql("DROP DATABASE other")


# --- files


def test_rows_are_written_as_people_and_programs_read_them(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE t (id int PRIMARY KEY, account varchar(20), note varchar(90), amount decimal(20,2),
            yes boolean, raw varbinary(9), day date, local datetime(3), moment timestamp(3) NULL, span time);
        INSERT INTO t VALUES (1, '7', '"重庆", a\nb', 12345678901234567.89, true, x'00ff', '2026-01-02',
            '2026-01-02 03:04:05.678', '2026-01-02 03:04:05', '12:34:56'),
            (2, '7', '', NULL, false, NULL, NULL, NULL, NULL, NULL),
            (3, '8', 'not mine', 1, 1, '', NULL, NULL, NULL, NULL)""",
        {
            "t": {
                "fields": ["id", "account, is account_no", "note", "amount", "yes", "raw", "day", "local", "moment",
                           "span"]
            }
        },
    )  # fmt: skip
    assert copied(zoo, "csv", redact=["account"]) == (
        "id,note,amount,yes,raw,day,local,moment,span\n"
        '1,"""重庆"", a\nb",12345678901234567.89,1,00ff,2026-01-02,2026-01-02 03:04:05.678000,'
        "2026-01-02 03:04:05+08:00,12:34:56\n"
        '2,"",,0,,,,,\n'
    )
    lines = [json.loads(line, parse_float=Decimal) for line in copied(zoo, "json", redact=["account"]).splitlines()]
    assert lines[0]["amount"] == Decimal("12345678901234567.89")
    assert lines[0] | {"amount": None} == {
        "id": 1, "note": '"重庆", a\nb', "amount": None, "yes": 1, "raw": "00ff", "day": "2026-01-02",
        "local": "2026-01-02T03:04:05.678000", "moment": "2026-01-02T03:04:05+08:00", "span": "12:34:56",
    }  # fmt: skip
    assert lines[1] == {"id": 2, "note": "", "yes": 0} | dict.fromkeys(
        ["amount", "raw", "day", "local", "moment", "span"]
    )


def copied(zoo: MariaZoo, form: Any, *, redact: Sequence[str] = ()) -> str:
    blocks: list[bytes] = []
    with zoo.reading(ME) as (snapshot, _):
        assert snapshot.copy_rows("zoo.t", redact=redact, form=form, write=blocks.append) == 2
    return b"".join(blocks).decode()


# --- many rows


def test_a_person_with_many_rows_costs_a_look_up_a_row_and_no_memory(make_zoo: MariaZoos) -> None:
    zoo = make_zoo(
        """CREATE TABLE customer (id int PRIMARY KEY, account varchar(20), UNIQUE (account));
        CREATE TABLE visit (id bigint PRIMARY KEY, customer int REFERENCES customer (id), page varchar(40));
        INSERT INTO customer SELECT n, n FROM generate_series(1, 1000) n;
        INSERT INTO visit SELECT n, IF(n % 2 = 0, 7, 1 + n % 1000), 'page' FROM generate_series(1, 200000) n;""",
        {
            "customer": {"fields": ["id", "account, is account_no"]},
            "visit": {"fields": ["id", "customer, <- customer.id", "page"]},
        },
    )
    connector = connect("zoo", zoo.data_map)
    mine = zoo.sql("SELECT count(*) FROM zoo.visit WHERE customer = 7")[0][0]
    with zoo.reading(ME) as (snapshot, policies):
        pages = list(snapshot.page_keys(policies, "zoo.visit"))
        assert sum(map(len, pages)) == mine
        assert max(map(len, pages)) == 20_000
        seed = Matter(kind=Kind.DELETION, identities=ME).seed(now=NOW)
        before = handler_reads(zoo)
        assert connector.erase(seed, policies, "zoo.visit", pages[0][:1000]) == 1000
        # A batch of a thousand reads a few thousand rows, not the two hundred thousand of the table.
        assert handler_reads(zoo) - before < 20_000
    assert len(connector.find_present("zoo.visit", pages[0])) == 19_000


def handler_reads(zoo: MariaZoo) -> int:
    rows = zoo.sql("SELECT SUM(variable_value) FROM information_schema.global_status WHERE variable_name IN"
                   " ('HANDLER_READ_NEXT', 'HANDLER_READ_RND_NEXT', 'HANDLER_READ_KEY')")  # fmt: skip
    return int(rows[0][0])
