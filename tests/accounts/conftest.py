import pytest

from tests.conftest import collect_static


@pytest.fixture(scope="session", autouse=True)
def static_files(django_db_setup: None) -> None:
    """Pages name their style sheet by its hash."""
    collect_static()
