"""The shop's database and people, for processes that are killed."""

from tests.rights.conftest import shop, shop_url

__all__ = ["shop", "shop_url"]
