import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from pytest_django.fixtures import Settings

from tests.conftest import collect_static


class QuickHasher(Argon2PasswordHasher):
    """Argon2 at a cost that a test can afford many times."""

    time_cost = 1
    memory_cost = 64
    parallelism = 1


@pytest.fixture(scope="session", autouse=True)
def static_files(django_db_setup: None) -> None:
    """Pages name their style sheet by its hash."""
    collect_static()


@pytest.fixture(autouse=True)
def quick_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["tests.accounts.conftest.QuickHasher"]
