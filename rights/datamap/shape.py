"""The shape of governance, as governance.schema.json states it, and its violations in plain words."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from rights.datamap.faults import suggest_one_of

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a number",
    "boolean": "true or false",
}
_WRITE = {"object": "Give it keys of its own.", "array": "Write [a, b].", "boolean": "Write true or false."}

SCHEMA: Mapping[str, Any] = json.loads(Path(__file__).with_name("governance.schema.json").read_text(encoding="utf-8"))
CLASSES = frozenset(SCHEMA["$defs"]["data_class"]["enum"])


def _inline(schema: Any) -> Any:
    """The schema without references: following one for each value takes longer than the check itself."""
    if isinstance(schema, list):
        return [_inline(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema.get("$ref", "").rpartition("/")[2]
    merged = {**SCHEMA["$defs"][name], **schema} if name else schema
    return {key: _inline(value) for key, value in merged.items() if key not in {"$ref", "$defs"}}


_VALIDATOR = Draft202012Validator(_inline(SCHEMA))


@dataclass(frozen=True)
class Violation:
    """Something that is not of the schema's shape; the rest of its item can be read unless it `breaks` it."""

    path: tuple[str | int, ...]
    reason: str
    remedy: str
    breaks: bool = True


def find_violations(governance: Mapping[str, Any]) -> Iterator[Violation]:
    for error in _VALIDATOR.iter_errors(governance):
        for inner in _unfold(error):
            yield from _tell(inner)


def _unfold(error: ValidationError) -> list[ValidationError]:
    """Of alternatives only the one whose type the value has tells what is wrong with it."""
    if error.validator != "anyOf":
        return [error]
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    meant = [found for found in branches.values() if not any(_is_off(inner) for inner in found)]
    if len(meant) != 1:
        return [error]
    return [deeper for inner in meant[0] for deeper in _unfold(inner)]


def _is_off(error: ValidationError) -> bool:
    """Whether an alternative was not meant at all: it asks for another type, or for a word where there is none."""
    if error.path:
        return False
    return error.validator == "type" or (error.validator == "enum" and not isinstance(error.instance, str))


def _tell(error: ValidationError) -> Iterator[Violation]:
    path = tuple(error.absolute_path)
    schema = error.schema if isinstance(error.schema, dict) else {}
    examples = schema.get("examples", ())
    written = f"Write {' or '.join(examples)}." if examples else ""
    value: Any = error.instance
    expected: Any = error.validator_value
    match error.validator:
        case "required":
            name = error.message.split("'")[1]
            yield Violation((*path, name), "is missing.", f"State {name}.")
        case "additionalProperties":
            known = schema["properties"]
            reason = "is not known." if path else "is not a section of a data map."
            for name in sorted(str(name) for name in set(value) - set(known)):
                yield Violation((*path, name), reason, suggest_one_of(name, known), breaks=False)
        case "enum":
            title = schema.get("title", "known")
            yield Violation(path, f"{value} is not {title}.", suggest_one_of(value, [str(item) for item in expected]))
        case "type":
            types = [expected] if isinstance(expected, str) else expected
            wanted = " or ".join(_TYPES[name] for name in types if name != "null")
            remedy = written or _WRITE.get(types[0], "Correct it.")
            yield Violation(path, f"is not written as it has to be: it is not {wanted}.", remedy)
        case "anyOf":
            yield Violation(path, f"{_short(value)} is not {schema['title']}.", written)
        case "minItems" | "minProperties":
            yield Violation(path, "is empty.", written or "State it, or leave the key out.")
        case _:
            yield Violation(path, f"{_short(value)} is not {schema.get('title', 'allowed')}.", written)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
