"""Signing in goes through the pages' door, whose page names its style sheet by its hash."""

import pytest

from tests.conftest import collect_static


@pytest.fixture(scope="session", autouse=True)
def static_files() -> None:
    collect_static()
