"""Every page in every state, without a browser: what it weighs, how many queries it asks, and that it has a row."""

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.http import HttpResponse, HttpResponseBase
from django.test.utils import CaptureQueriesContext
from lxml import html

from tests.business import Business
from tests.conftest import Clock
from tests.pages import NO_PAGE, ROWS, Reader, Row, States, named_addresses, shown_addresses
from tests.stack import Stack

QUERIES, BYTES, REQUESTS = 15, 60 * 1024, 8
SETTING = ("RESET ROLE", "SET ROLE", "SELECT set_config")  # whom the connection speaks for; they read no table
STILL_OVER = {"asked": 23, "desk": 22, "case-review": 39}
LOADED = "//link[@rel='stylesheet' or @rel='icon']/@href | //script/@src | //img/@src"


def test_every_address_has_a_row_or_is_named_as_no_page() -> None:
    shown = shown_addresses()
    assert shown | NO_PAGE == set(named_addresses())
    assert not shown & NO_PAGE
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_page_asks_and_weighs_little(business: Business, stack: Stack, clock: Clock) -> None:
    """At most 15 queries; those that still ask more are named with how many, and may only come to ask fewer."""
    states = States(business, stack, clock)
    reader, found = Reader(states, states.make_few()), dict[str, int]()
    for row in [row for row in ROWS if row.quick]:
        reader.client(row.who)
        with CaptureQueriesContext(connection) as asked:
            answer = reader.open(row, "zh-hans")
        check_weight(row, answer)
        read = [query for query in asked.captured_queries if not query["sql"].startswith(SETTING)]
        if row.send is None and len(read) > STILL_OVER.get(row.name, QUERIES):
            found[row.name] = len(read)
    assert found == {}


@pytest.mark.slow
def test_no_page_weighs_much(business: Business, stack: Stack, clock: Clock) -> None:
    states = States(business, stack, clock)
    reader = Reader(states, states.make())
    for row in ROWS:
        check_weight(row, reader.open(row, "zh-hans"))


def check_weight(row: Row, answer: HttpResponseBase) -> None:
    """HTML, style and script at most 60 KB gzipped, in at most 8 requests, the icon included."""
    assert isinstance(answer, HttpResponse)
    content = answer.content
    assert answer.status_code < 500, row.name
    assert b"</html>" in content, row.name
    files = {urlsplit(address).path for address in html.fromstring(content).xpath(LOADED)}
    weight = len(gzip.compress(content, 6)) + sum(
        len(gzip.compress(static_file(file), 6)) for file in files if not file.endswith(".svg")
    )
    assert weight <= BYTES, (row.name, weight)
    assert 1 + len(files) <= REQUESTS, (row.name, files)


def static_file(address: str) -> bytes:
    return (Path(settings.STATIC_ROOT) / address.removeprefix(settings.STATIC_URL)).read_bytes()
