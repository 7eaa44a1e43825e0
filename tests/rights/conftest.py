"""The engine against a shop small enough that every figure can be counted by hand."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest
from django.utils import translation

from tests.stack import Stack

if TYPE_CHECKING:
    from tests.rights.rulebook import Rulebook
    from tests.rights.shop import Shop
    from tests.rights.zoo import Zoos


@pytest.fixture(scope="session")
def shop_url(stack: Stack, django_db_setup: None) -> str:
    from tests.rights import shop as shops  # noqa: PLC0415 - settings are not made yet when this file is read

    return shops.make_shop_database(stack)


@pytest.fixture
def shop(stack: Stack, shop_url: str, django_as: Callable[[str], AbstractContextManager[None]]) -> "Shop":
    from tests.rights import shop as shops  # noqa: PLC0415 - settings are not made yet when this file is read

    return shops.open_shop(stack, django_as, shop_url)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked `each_server` runs on every make of database, unless it is marked as one make's own."""
    each = metafunc.definition.get_closest_marker("each_server")
    if each and "make_zoo" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("postgresql")
        metafunc.parametrize("make_zoo", ["postgresql"] if only else ["postgresql", "mariadb"], indirect=True)


@pytest.fixture
def make_zoo(request: pytest.FixtureRequest, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Zoos]":
    from tests.rights import zoo  # noqa: PLC0415 - settings are not made yet when this file is read

    server = getattr(request, "param", "postgresql")
    zoos = zoo.MariaZoos(stack, monkeypatch.setenv) if server == "mariadb" else zoo.Zoos(stack, monkeypatch.setenv)
    yield zoos
    zoos.close()


@pytest.fixture
def rulebook(shop: "Shop") -> "Iterator[Rulebook]":
    """Two administrators who read English, and the rules as shipped again after the test: no other test shall meet its
    rules."""
    from tests.rights import rulebook as rulebooks  # noqa: PLC0415 - settings are not made yet when this file is read

    book = rulebooks.open_rulebook(shop)
    with translation.override("en"):
        yield book
    book.put_back()
