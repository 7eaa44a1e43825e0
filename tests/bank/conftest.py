"""The bank's own records, connected by a data map alone. They stay out of the repository; without them these skip."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from psycopg import sql

from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]


def bank_folder() -> Path:
    return Path(os.environ.get("PKDD99_DIR") or ROOT.parent / "shared" / "data" / "pkdd99")


@pytest.fixture(scope="session")
def bank_url(stack: Stack) -> str:
    """The address of a database with the bank's records as published; each test gets a copy of it by `bank`."""
    loader = bank_folder() / "load.py"
    if not loader.is_file():
        pytest.skip(f"THE BANK'S RECORDS ARE NOT HERE: {loader} is missing; set PKDD99_DIR to where they are.")
    original = stack.make_database("pkdd99_original")
    with psycopg.connect(original) as connection:
        load = _load_module(loader)
        connection.execute(load.DDL)
        for table, rows in load.tables(28):
            with connection.cursor().copy(f"COPY pkdd99.{table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
    return original


@pytest.fixture
def bank(stack: Stack, bank_url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """A connection to a fresh copy, at the address the portal knows as the system pkdd99."""
    with stack.connect("superuser") as admin:
        for statement in (
            "DROP DATABASE IF EXISTS pkdd99 WITH (FORCE)",
            "CREATE DATABASE pkdd99 TEMPLATE pkdd99_original",
        ):
            admin.execute(sql.SQL(statement))
    with psycopg.connect(stack.url_of_database("pkdd99"), autocommit=True) as connection:
        yield connection


def _load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("pkdd99_load", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
