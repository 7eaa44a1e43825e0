"""The bank to read from: as published, and mutated. Each is made once; who changes rows takes a copy by `bank`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.bank import mutations, oracle
from tests.stack import Stack


@dataclass(frozen=True)
class Copy:
    url: str
    connection: "psycopg.Connection[tuple[Any, ...]]"
    rows: oracle.Bank


@pytest.fixture(scope="session")
def bank_as_published(stack: Stack, bank_url: str) -> Iterator[Copy]:
    url = stack.make_database("pkdd99_to_read", template="pkdd99_original")
    with psycopg.connect(url, autocommit=True) as connection:
        yield Copy(url, connection, oracle.read_bank(connection))


@pytest.fixture(scope="session")
def bank_mutated(stack: Stack, bank_url: str) -> Iterator[Copy]:
    url = stack.make_database("pkdd99_mutated", template="pkdd99_original")
    with psycopg.connect(url, autocommit=True) as connection:
        mutations.mutate(connection)
        yield Copy(url, connection, oracle.read_bank(connection))


@pytest.fixture(params=["bank_as_published", "bank_mutated"])
def either_bank(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Both in turn, each as the system pkdd99 of the portal."""
    found: Copy = request.getfixturevalue(request.param)
    monkeypatch.setenv("SYSTEM_PKDD99_URL", found.url)
    return found
