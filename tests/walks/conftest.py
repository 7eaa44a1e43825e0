"""Walks go through pages, with real worker and beat processes; the business databases are looked at directly."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.business import Business
    from tests.conftest import Clock
    from tests.walks.town import Sql, Town


@pytest.fixture
def town(live: str, business: "Business", owner_sql: "Sql", clock: "Clock") -> "Town":
    from tests.walks import town as towns  # noqa: PLC0415 - settings are not made yet when this file is read

    return towns.Town(base_url=live, business=business, owner_sql=owner_sql, clock=clock)
