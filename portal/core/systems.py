"""Addresses of the connected business systems. They hold passwords, so they never enter the database or the data
map."""

import json
import os
import re
from pathlib import Path

from django.conf import settings


class UnknownSystem(LookupError):
    """A system that the data map names and whose address nobody has set."""

    def __init__(self, name: str) -> None:
        self.name, self.variable = name, variable_for(name)
        super().__init__(f"The address of the system {name!r} is not known: set {self.variable}.")


class Unset(LookupError):
    """Something that a system needs and nobody has set."""

    def __init__(self, name: str, setting: str) -> None:
        self.variable = variable_for(name, setting)
        super().__init__(f"The system {name!r} needs {self.variable}: set it.")


def variable_for(name: str, setting: str = "URL") -> str:
    """The environment variable that holds the address, or another setting, of the system `name`."""
    return f"SYSTEM_{re.sub(r'[^A-Z0-9]', '_', name.upper())}_{setting}"


def system_setting(name: str, setting: str, *, default: str | None = None) -> str:
    """A secret, or the path of a key file, of the system `name`. Raises Unset where there is no default."""
    value = os.environ.get(variable_for(name, setting)) or default
    if value is None:
        raise Unset(name, setting)
    return value


def system_url(name: str) -> str:
    """The address of the system `name`: from the environment, in demo mode else from the file that `demo load`
    wrote."""
    if url := os.environ.get(variable_for(name)):
        return url
    if settings.DEMO:
        try:
            addresses = json.loads((Path(settings.DATA_DIR) / "systems.json").read_text())
        except FileNotFoundError:
            addresses = {}
        if url := addresses.get(name):
            return str(url)
    raise UnknownSystem(name)
