"""The benchmarks measure the small schemas of the engine's tests, grown large."""

from tests.rights.conftest import make_zoo, shop, shop_url

__all__ = ["make_zoo", "shop", "shop_url"]
