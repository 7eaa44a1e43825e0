"""The shop's database and people, for processes that are killed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.rights.conftest import shop, shop_url

if TYPE_CHECKING:
    from tests.conftest import Clock
    from tests.faults.crowd import Crowd
    from tests.faults.parts import Portal, Server
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


@pytest.fixture(scope="session")
def far_stack(stack: "Stack", server: "Server", django_db_setup: None) -> "Stack":
    """The portal with its own database on that server."""
    return server.copy_portal(stack)


@pytest.fixture
def far_portal(far_stack: "Stack", shop_url: str, db: None, clock: "Clock") -> "Iterator[Crowd]":
    """A crowd whose requests are in that database, which Django uses as a worker meanwhile."""
    from tests import stack as stacks  # noqa: PLC0415 - the same
    from tests.faults import crowd as crowds  # noqa: PLC0415 - the same
    from tests.rights import shop as shops  # noqa: PLC0415 - the same

    far_stack.clean()
    clock(shops.NOW)
    with stacks.django_as(far_stack, "worker"):
        shop = shops.open_shop(far_stack, lambda role: stacks.django_as(far_stack, role), shop_url)
        yield crowds.Crowd(shop, today=shops.NOW.date())


@pytest.fixture(scope="module")
def portal(stack: "Stack", shop_url: str) -> "Iterator[Portal]":
    """Real processes, for the tests of a module; each says what it needs to be there."""
    from tests.conftest import collect_static  # noqa: PLC0415 - the same
    from tests.faults import parts  # noqa: PLC0415 - the same

    collect_static()
    made = parts.Portal(stack)
    yield made
    made.stop()
