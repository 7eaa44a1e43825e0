"""Pages name their style sheet by its hash, so it must have been collected."""

import pytest

from tests.conftest import collect_static


@pytest.fixture(scope="session", autouse=True)
def static_files() -> None:
    collect_static()
