"""Every way of masking on a real database: what it writes, that it is known again, and that it changes nothing twice.

What is expected is worked out with Python's own hashes and with GB 11643 as its text has it.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from portal.core import keyring
from portal.core.clock import SHANGHAI
from rights.actions.datamap import store_documents
from rights.actions.erasures import replay
from rights.connectors import sql
from rights.connectors.base import Refused
from rights.connectors.registry import connect
from rights.datamap import FaultyMap, Mask, load_live_map, parse_documents
from rights.models import Batch
from tests.rights.shop import DATASET, DOCUMENTS, GOVERNANCE, NOW, Shop, State
from tests.rights.zoo import Zoo, Zoos, make_map
from tests.stack import Stack

ME = {"account_no": "7"}
LATER = NOW + timedelta(minutes=30)
FIELDS = ("nick", "digest", "phone", "id_number", "born", "seen", "logged", "note", "gone")
HOW: dict[str, Any] = {
    "nick": {"pseudonym": "customer"},
    "digest": {"hash": "sha256"},
    "phone": {"format": "phone"},
    "id_number": {"format": "resident_id"},
    "born": {"date": "year"},
    "seen": {"date": "month"},
    "logged": {"date": "year"},
    "note": {"constant": "***"},
    "gone": "null",
}
TABLE = """CREATE TABLE person (id int PRIMARY KEY, account text, nick text, digest varchar(71), phone varchar(11),
    id_number char(18), born date, seen timestamptz, logged timestamp, note text, gone text);"""
drawn = settings(
    max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "8")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# --- what is expected


def keyed(name: str, value: str) -> str:
    return hmac.new(keyring.mask_key(name), value.encode(), hashlib.sha256).hexdigest()


def pseudonym(name: str, value: str) -> str:
    return f"{name}:{keyed(f'pseudonym {name}', value)[:24]}"


def phone(value: str) -> str:
    return f"12{int(keyed('format phone', value)[:15], 16) % 10**9:09d}"


def check_character(body: str) -> str:
    """GB 11643-1999, 4.4: the weight of place i, counted from the right and from 1, is 2 to the i - 1 modulo 11; the
    check character makes the weighted sum 1 modulo 11."""
    total = sum(int(digit) * pow(2, 18 - place, 11) for place, digit in enumerate(body, start=1))
    (found,) = (value for value in range(11) if (total + value) % 11 == 1)
    return "X" if found == 10 else str(found)


def is_nobodys_number(value: str) -> bool:
    """A number that GB 11643 allows but for its region, which GB/T 2260 does not have (11 to 82)."""
    datetime.strptime(value[6:14], "%Y%m%d")  # noqa: DTZ007 - a day, or an error
    return len(value) == 18 and value[:2] == "99" and value[17] == check_character(value[:17])


def test_the_check_character_is_the_one_of_the_standards_own_examples() -> None:
    """GB 11643-1999, annex A."""
    assert check_character("11010519491231002") == "X"
    assert check_character("44052418800101001") == "4"


# --- each way by itself


@pytest.fixture
def people(make_zoo: Zoos) -> Zoo:
    return make_zoo(
        TABLE,
        {
            "person": {
                "fields": ["id, pk", "account, is account_no", *FIELDS],
                "erase": {"method": "mask", "fields": HOW},
            }
        },
    )


def add(zoo: Zoo, number: int, **values: object) -> None:
    names = ", ".join(["id", "account", *values])
    zoo.sql(
        f"INSERT INTO zoo.person ({names}) VALUES ({', '.join(['%s'] * (2 + len(values)))})",
        [number, "7", *values.values()],
    )


def rows(zoo: Zoo) -> list[dict[str, Any]]:
    found = zoo.sql(f"SELECT {', '.join(FIELDS)} FROM zoo.person ORDER BY id")
    return [dict(zip(FIELDS, row, strict=True)) for row in found]


def test_each_way_of_masking_writes_what_it_says(people: Zoo) -> None:
    add(
        people, 1, nick="若兰", digest="若兰", phone="13800138000", id_number="11010519491231002X",
        born=date(1988, 2, 29), seen=datetime(2026, 1, 1, 0, 30, tzinfo=SHANGHAI),
        logged=datetime.fromisoformat("2026-07-09 12:30"), note="x", gone="x",
    )  # fmt: skip
    add(people, 2, nick="建国")
    assert people.erase(ME) == {"person": 2}
    first, second = rows(people)
    assert is_nobodys_number(first.pop("id_number"))
    assert first == {
        "nick": pseudonym("customer", "若兰"),
        "digest": f"sha256:{hashlib.sha256('若兰'.encode()).hexdigest()}",
        "phone": phone("13800138000"),
        "born": date(1988, 1, 1),
        # It was New Year in Shanghai and still December in UTC.
        "seen": datetime(2026, 1, 1, tzinfo=SHANGHAI),
        "logged": datetime.fromisoformat("2026-01-01"),
        "note": "***",
        "gone": None,
    }
    assert second.pop("nick") == pseudonym("customer", "建国")
    # What was empty stays empty; only a constant is the same in all records.
    assert {name for name, value in second.items() if value is not None} == {"note"}


def test_what_is_masked_is_found_no_more_and_changes_no_more(people: Zoo) -> None:
    add(people, 1, nick="a", digest="a", phone="1", id_number="1", born=date(1988, 2, 29), note="x", gone="x")
    people.erase(ME)
    connector, before = connect("zoo", people.data_map), rows(people)
    assert people.fates(ME) == {}
    assert connector.find_present("zoo.person", [(1,)]) == []
    assert list(connector.stream_keys("zoo.person")) == []
    assert connector.erase_again("zoo.person", [(1,)]) == 1
    assert rows(people) == before


@pytest.mark.parametrize("name", FIELDS)
def test_a_record_with_one_field_that_is_not_masked_is_still_to_be_masked(people: Zoo, name: str) -> None:
    values: dict[str, object] = {
        "born": date(1988, 2, 29),
        "seen": NOW,
        "logged": datetime.fromisoformat("2026-07-09"),
        "phone": "138",
    }
    add(people, 1, nick="a", digest="a", phone="1", id_number="1", born=date(1988, 2, 29), seen=NOW, gone="x")
    people.erase(ME)
    before = rows(people)[0]
    people.sql(f"UPDATE zoo.person SET {name} = %s", [values.get(name, "new")])
    assert people.fates(ME) == {("person", "mask"): 1}
    assert people.erase(ME) == {"person": 1}
    after = rows(people)[0]
    assert {field for field in FIELDS if before[field] != after[field]} <= {name}
    assert people.fates(ME) == {}


def test_pseudonyms_join_by_one_name_and_not_across_names_or_keyrings(make_zoo: Zoos) -> None:
    fields = {"a": {"pseudonym": "one"}, "b": {"pseudonym": "one"}, "c": {"pseudonym": "two"}}
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account text, a text, b text, c text);"
        "INSERT INTO t VALUES (1, '7', 'x', 'x', 'x'), (2, '7', 'y', 'x', 'y');",
        {"t": {"fields": ["id, pk", "account, is account_no", *fields], "erase": {"method": "mask", "fields": fields}}},
    )
    zoo.erase(ME)
    (a, b, c), (other, again, _) = zoo.sql("SELECT a, b, c FROM zoo.t ORDER BY id")
    assert a == b == again == pseudonym("one", "x")
    assert other == pseudonym("one", "y") != a
    assert c.split(":")[1] not in a
    keyring.rotate("mask")
    zoo.sql("UPDATE zoo.t SET a = 'x' WHERE id = 1")
    zoo.erase(ME)
    (now,) = zoo.sql("SELECT a FROM zoo.t WHERE id = 1")[0]
    assert now == pseudonym("one", "x") != a  # the key is another one
    assert zoo.fates(ME) == {}, "what was masked under the key before is still known as masked"


def test_no_key_stands_in_the_text_of_a_statement(people: Zoo) -> None:
    add(people, 1, nick="a", phone="1", id_number="1")
    texts: list[str] = []

    def keep(_connection: object, _cursor: object, text: str, *_: object) -> None:
        texts.append(text)

    engine = sql._engine(people.url)
    sa.event.listen(engine, "before_cursor_execute", keep)
    people.erase(ME)
    updates = " ".join(text for text in texts if "UPDATE" in text)
    assert "sha256" in updates
    for name in ("pseudonym customer", "format phone", "format resident_id"):
        key = keyring.mask_key(name)
        padded = bytes(byte ^ 0x36 for byte in key.ljust(64, b"\0"))
        for secret in (key, padded):
            assert secret.hex() not in updates
            assert repr(secret)[2:-1] not in updates


# --- whatever the value


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@pytest.fixture(scope="module")
def plain(stack: Stack) -> Iterator[Zoo]:
    """A table of texts alone, which a property fills as it likes."""
    url = stack.make_database("rights_masks")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA zoo")
        connection.execute(
            "CREATE TABLE zoo.t (id int PRIMARY KEY, account text, a text, b text, c text, d text, e date)"
        )
    fields = {
        "a": {"pseudonym": "n1"}, "b": {"hash": "sha256"}, "c": {"format": "phone"}, "d": {"format": "resident_id"},
        "e": {"date": "month"},
    }  # fmt: skip
    body = {"fields": ["id, pk", "account, is account_no", *fields], "erase": {"method": "mask", "fields": fields}}
    os.environ["SYSTEM_ZOO_URL"] = url
    yield Zoo(url, make_map({"t": body}))
    sql._engine(url).dispose()


@drawn
@given(values=st.lists(st.tuples(texts, st.dates(date(1, 1, 1), date(9999, 12, 31))), min_size=1, max_size=20))
@example(values=[("", date(2024, 2, 29)), ("x" * 1000, date(1, 1, 1)), ("\n", date(1, 1, 2)), ("\\x00", date(1, 1, 3))])
@example(
    values=[("n1:" + "0" * 24 + "\n", date(1, 1, 1)), ("12000000000 ", date(1, 1, 1)), ("N1:" + "0" * 24, date.max)]
)
def test_any_value_is_masked_as_python_would_and_stays_so(plain: Zoo, values: Sequence[tuple[str, date]]) -> None:
    plain.sql("DELETE FROM zoo.t")
    for number, (text, day) in enumerate(values):
        plain.sql("INSERT INTO zoo.t VALUES (%s, '7', %s, %s, %s, %s, %s)", [number, text, text, text, text, day])
    connector, keys = connect("zoo", plain.data_map), [(number,) for number in range(len(values))]
    assert connector.erase_again("zoo.t", keys) == len(values)
    found = plain.sql("SELECT a, b, c, d, e FROM zoo.t ORDER BY id")
    for (text, day), (a, b, c, d, e) in zip(values, found, strict=True):
        assert a == pseudonym("n1", text)
        assert b == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        assert c == phone(text)
        assert is_nobodys_number(d)
        assert e == day.replace(day=1)
    assert len({row[3] for row in found}) == len({text for text, _ in values})
    assert connector.find_present("zoo.t", keys) == []
    connector.erase_again("zoo.t", keys)
    assert plain.sql("SELECT a, b, c, d, e FROM zoo.t ORDER BY id") == found


# --- a request, by the protocol, and a backup


def load(shop: Shop, collection: str, **body: Any) -> None:
    governance = yaml.safe_load(GOVERNANCE)
    governance["collections"][collection] = {**governance["collections"][collection], **body}
    with shop.as_("owner"):
        store_documents({**DOCUMENTS, "governance.yml": yaml.safe_dump(governance)}, name="shop", now=NOW)


def a_nobodys_number(value: str | None) -> bool:
    return value is not None and is_nobodys_number(value)


@pytest.mark.role("worker")
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("null", None),
        ({"constant": "-"}, lambda _: "-"),
        ({"hash": "sha256"}, lambda page: f"sha256:{hashlib.sha256(page.encode()).hexdigest()}"),
        ({"pseudonym": "visitor"}, lambda page: pseudonym("visitor", page)),
        ({"format": "phone"}, phone),
        ({"format": "resident_id"}, a_nobodys_number),
    ],
)
def test_a_request_masks_each_record_once_and_a_backup_that_came_back_again(
    shop: Shop, how: object, expected: Callable[[str], object] | None
) -> None:
    load(shop, "shop.visit", erase={"method": "mask", "fields": {"page": how}})
    shop.sql("ALTER TABLE shop.visit ALTER page DROP NOT NULL")
    try:
        shop.add_customer()
        shop.add_visits(5)
        shop.add_customer(2, of=shop.other)
        shop.sql("INSERT INTO shop.visit VALUES (100, 2, 'somebody else''s')")
        request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
        assert request.state == State.CLOSED
        step = shop.step(request, "shop.visit")
        assert (step.verb, step.state, step.done) == ("mask", "done", 5)
        assert sum(batch.gone or 0 for batch in Batch.objects.filter(step=step)) == 5
        masked = shop.sql("SELECT page FROM shop.visit WHERE customer_id = 1 ORDER BY visit_id")
        for number, (page,) in enumerate(masked, start=1):
            if how == {"format": "resident_id"}:
                assert is_nobodys_number(page)
            else:
                assert page == (expected(f"page {number}") if expected else None)
        assert shop.sql("SELECT page FROM shop.visit WHERE visit_id = 100") == [("somebody else's",)]
        # A second request finds nothing left to mask.
        assert "shop.visit" not in {line.collection for line in shop.plan(request).lines}
        shop.sql("UPDATE shop.visit SET page = 'page ' || visit_id WHERE customer_id = 1")
        (done,) = replay("shop", data_map=load_live_map(), since=NOW, now=LATER + timedelta(days=1))
        assert (done.collection, done.logged, done.erased) == ("shop.visit", 5, 5)
        assert shop.sql("SELECT page FROM shop.visit WHERE customer_id = 1 ORDER BY visit_id") == masked
        assert shop.sql("SELECT page FROM shop.visit WHERE visit_id = 100") == [("somebody else's",)]
    finally:
        shop.sql("DELETE FROM shop.visit; ALTER TABLE shop.visit ALTER page SET NOT NULL")


@pytest.mark.role("worker")
def test_a_request_leaves_of_a_date_its_year(shop: Shop) -> None:
    load(
        shop, "shop.parcel", **{"class": "none"}, trigger=None, basis="purpose ended",
        erase={"method": "mask", "fields": {"sent_on": {"date": "year"}}},
    )  # fmt: skip
    shop.add_customer()
    shop.sql(
        "INSERT INTO shop.parcel VALUES (1, 1, NULL, '2024-02-29'), (2, 1, NULL, NULL), (3, 1, NULL, '2025-01-01')"
    )
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert shop.sql("SELECT sent_on FROM shop.parcel ORDER BY 1") == [(date(2024, 1, 1),), (date(2025, 1, 1),), (None,)]
    assert shop.step(request, "shop.parcel").done == 1
    shop.sql("UPDATE shop.parcel SET sent_on = '2024-02-29' WHERE parcel_id = 1")
    (done,) = replay("shop", data_map=load_live_map(), since=NOW, now=LATER + timedelta(days=1))
    assert (done.logged, done.erased) == (1, 1)
    assert shop.count("parcel", "sent_on = '2024-01-01'") == 1


# --- maps


def test_a_way_of_masking_that_the_dataset_states_itself_is_read() -> None:
    dataset = yaml.safe_load(DATASET)
    visit = next(item for item in dataset["dataset"][0]["collections"] if item["name"] == "visit")
    page = next(item for item in visit["fields"] if item["name"] == "page")
    governance = yaml.safe_load(GOVERNANCE)
    governance["collections"]["shop.visit"]["erase"] = {"method": "mask"}

    def read(override: dict[str, Any]) -> Any:
        page["fides_meta"] = {"masking_strategy_override": override}
        documents = {"governance.yml": yaml.safe_dump(governance), "datasets/shop.yml": yaml.safe_dump(dataset)}
        return parse_documents(documents).collections["shop.visit"].mask

    assert read({"strategy": "null_rewrite"}) == {"page": Mask("null")}
    assert read({"strategy": "string_rewrite", "configuration": {"rewrite_value": "-"}}) == {
        "page": Mask("constant", "-")
    }
    assert read({"strategy": "hash", "configuration": {"algorithm": "SHA-256"}}) == {"page": Mask("hash", "sha256")}
    for other in (
        {"strategy": "random_string_rewrite"},
        {"strategy": "hash", "configuration": {"algorithm": "SHA-512"}},
    ):
        with pytest.raises(FaultyMap) as caught:
            read(other)
        (fault,) = caught.value.faults
        assert (fault.key, "page" in fault.reason) == ("collections.shop.visit.erase", True)


def test_a_database_that_refuses_a_mask_is_named_by_its_constraint(people: Zoo) -> None:
    add(people, 1, nick="a")
    people.sql("ALTER TABLE zoo.person ADD CONSTRAINT short_nick CHECK (length(nick) < 9)")
    with pytest.raises(Refused, match="short_nick"):
        people.erase(ME)
    assert rows(people)[0]["nick"] == "a"
