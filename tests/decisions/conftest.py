"""Each row of the table of decisions, against the demo's people and against the shop whose figures one can count."""

from typing import TYPE_CHECKING

import pytest

from tests.rights.conftest import make_zoo, shop, shop_url

if TYPE_CHECKING:
    from tests.business import Business
    from tests.decisions.office import Office

__all__ = ["make_zoo", "shop", "shop_url"]


@pytest.fixture
def office(business: "Business") -> "Office":
    """The demo's people with their requests, carried through in this process. Use with the role worker."""
    from tests.decisions.office import Office  # noqa: PLC0415 - settings are not made yet when this file is read

    return Office(business)
