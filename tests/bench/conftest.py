"""The benchmarks measure the small schemas of the engine's tests, grown large."""

from tests.rights.conftest import make_zoo

__all__ = ["make_zoo"]
