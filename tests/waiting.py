"""Waiting for what a running portal does, by looking and never by sleeping a guessed time."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest


def wait_until(
    happened: Callable[[], object], *, seconds: float = 20, what: Callable[[], str] | str = "it did not happen"
) -> None:
    """Look again until it has happened; fail saying what did not."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"Waited {seconds:.0f} s: {what() if callable(what) else what}")
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - always our own http address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
