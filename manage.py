#!/usr/bin/env python3
"""Every command of the portal. Where no database and broker are named, the embedded ones run meanwhile."""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts an older one should read why it stops
    sys.exit("The portal needs Python 3.11 or newer; this is %s. Run: make setup" % sys.version.split()[0])  # noqa: UP031

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

from portal import embedded

# Commands that read no data: starting a database for them would only cost time.
WITHOUT_DATA = {"help", "--help", "-h", "version", "--version", "messages"}


def prepare_environment(command: str) -> None:
    """Fill in what a bare machine lacks: the addresses of the embedded parts, and the demo, which is what it runs."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    os.environ.setdefault("PORTAL_ROLE", "owner")
    if os.environ.get("DATABASE_URL") or os.environ.get("REDIS_URL"):
        return
    if os.environ.get("PRODUCTION", "0") not in {"", "0"}:
        sys.exit("PRODUCTION is 1 but DATABASE_URL and REDIS_URL are not set; docker/env.example says what they are.")
    os.environ.setdefault("DEMO", "1")
    if command in WITHOUT_DATA:
        os.environ.setdefault("DATABASE_URL", "postgresql://127.0.0.1/none")
        os.environ.setdefault("REDIS_URL", "redis://127.0.0.1/0")
        return
    data_dir = Path(os.environ.get("DATA_DIR") or Path(__file__).resolve().parent / ".data")
    os.environ.update(embedded.ensure(data_dir).as_environment(), PORTAL_EMBEDDED="1", DATA_DIR=str(data_dir))


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if not command.startswith("-"):
        # A module's name has no hyphen; whoever types one means the same command.
        command = command.replace("-", "_")
    try:
        prepare_environment(command)
        execute_from_command_line([*sys.argv[:1], command, *sys.argv[2:]])
    except (embedded.EmbeddedError, ImproperlyConfigured) as error:
        sys.exit(str(error))
    except OperationalError as error:
        if "connection" not in str(error):
            raise
        sys.exit(f"The database cannot be reached: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
