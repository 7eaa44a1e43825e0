"""The decisions are shown against the same small shop as the engine, where every figure can be counted by hand."""

from tests.rights.conftest import make_zoo, shop, shop_url

__all__ = ["make_zoo", "shop", "shop_url"]
