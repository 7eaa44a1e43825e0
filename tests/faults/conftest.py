"""The shop's database and people, for processes that are killed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.rights.conftest import shop, shop_url

if TYPE_CHECKING:
    from tests.conftest import Clock
    from tests.faults.crowd import Crowd
    from tests.faults.parts import Server
    from tests.rights.shop import As, Shop
    from tests.stack import Stack

__all__ = ["shop", "shop_url"]


@pytest.fixture
def crowd(shop: "Shop", clock: "Clock") -> "Crowd":
    """The shop with nobody in it yet, on the day of the clock table's first case, for this process and all others."""
    from tests.faults import crowd as crowds  # noqa: PLC0415 - settings are not made yet when this file is read
    from tests.rights.shop import NOW  # noqa: PLC0415 - the same

    clock(NOW)
    return crowds.Crowd(shop, today=NOW.date())


@pytest.fixture(scope="session")
def server() -> "Iterator[Server]":
    """A PostgreSQL of these tests' own, which they may stop and kill."""
    from tests.faults import parts  # noqa: PLC0415 - the same

    made = parts.Server()
    yield made
    made.destroy()


@pytest.fixture
def far_crowd(stack: "Stack", django_as: "As", server: "Server", monkeypatch: pytest.MonkeyPatch) -> "Crowd":
    """The same with the shop's database on that server."""
    from tests.faults import crowd as crowds  # noqa: PLC0415 - the same
    from tests.rights import shop as shops  # noqa: PLC0415 - the same

    url = server.make_database("shop", shops.TABLES)
    monkeypatch.setenv("SYSTEM_SHOP_URL", url)
    return crowds.Crowd(shops.open_shop(stack, django_as, url), today=shops.NOW.date())
