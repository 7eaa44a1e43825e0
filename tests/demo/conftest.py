"""The business systems on the test's own server, under names of their own."""

from datetime import date, datetime
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command

from portal.core.clock import SHANGHAI
from portal.core.systems import variable_for
from portal.demo.systems import create_systems, empty_systems, load_systems
from tests.stack import Stack

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 10, tzinfo=SHANGHAI)
PREFIX = "demotest_"


@pytest.fixture(scope="session")
def made_systems(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("systems")
    return create_systems(admin_url=stack.addresses.database_url, prefix=PREFIX, data_dir=folder)


@pytest.fixture
def systems(made_systems: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The seven systems with the named people in them and nobody else, where the portal looks for them."""
    empty_systems(addresses=made_systems)
    load_systems(addresses=made_systems, people=0, today=TODAY)
    for name, address in made_systems.items():
        monkeypatch.setenv(variable_for(name), address)
    return made_systems


@pytest.fixture(scope="session")
def static_files(stack: Stack) -> None:
    """The hashed files that pages name."""
    call_command("collectstatic", interactive=False, verbosity=0)


def count_rows(address: str, table: str, where: str = "true", *values: object) -> int:
    with psycopg.connect(address) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}".encode(), values or None).fetchone()
    assert found
    return int(found[0])


def map_folder() -> Path:
    return Path(__file__).resolve().parents[2] / "portal" / "demo" / "datamap"
