"""Reads YAML without losing what it says twice, and finds the line of a key for a fault."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The lists of the Fides format: their items are known by name, the word itself is no part of a key.
_LISTS = frozenset({"dataset", "collections", "fields"})


class _Loader(_BASE):  # type: ignore[misc]
    """A safe loader, the C one where it is built, that notices a key which a mapping states twice.

    YAML forbids it and PyYAML keeps the last in silence: a second `shop.visit` would undo the first.
    """

    repeats = False

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        own = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        self.repeats = self.repeats or len(set(own)) < len(own)
        return super().construct_mapping(node, deep=deep)


@contextmanager
def without_collecting() -> Iterator[None]:
    """A large map is objects by the hundred thousand, and all stay: looking for dead ones doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_yaml(text: str) -> tuple[Any, list[tuple[str, int, int]]]:
    """The content, and every key stated twice in one mapping with its two lines. Raises yaml.YAMLError."""
    loader = _Loader(text)
    try:
        content = loader.get_single_data()
        repeats = loader.repeats
    finally:
        loader.dispose()
    return content, list(_find_repeated(_compose(text), ())) if repeats else []


class Lines:
    """Where a document states which key; made for a faulty document alone, as it costs a second reading."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}
        for path, line in _find_places(_compose(text), ()):
            self._lines.setdefault(".".join(path), line)

    def find(self, key: str) -> int:
        """The line of a key, else of what holds it; 0 for a key that is nowhere near the document."""
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key.rpartition(".")[0]
        return 0


def _compose(text: str) -> Any:
    return yaml.compose(text, Loader=_BASE)


def _find_places(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    for inner, child, line in _children(node, path):
        yield inner, line
        yield from _find_places(child, inner)


def _find_repeated(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    first: dict[str, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            line = key.start_mark.line + 1
            # `<<` may stand twice, and what it brings in may be stated again: that is what it is for.
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in first:
                    yield ".".join((*path, key.value)), first[key.value], line
                first.setdefault(key.value, line)
    for inner, child, _ in _children(node, path):
        yield from _find_repeated(child, inner)


def _children(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                silent = key.value in _LISTS and isinstance(value, yaml.SequenceNode)
                yield path if silent else (*path, key.value), value, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield (*path, *_name(item)), item, item.start_mark.line + 1


def _name(item: Any) -> tuple[str, ...]:
    if isinstance(item, yaml.MappingNode):
        for key, value in item.value:
            if isinstance(value, yaml.ScalarNode) and key.value in {"fides_key", "name"}:
                return (value.value,)
    return ()
