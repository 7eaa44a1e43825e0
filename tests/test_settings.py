"""Settings fail at start and name the variable."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BASE_DIR = Path(__file__).resolve().parent.parent
WHOLE = {
    "DATABASE_WEB_URL": "postgresql://web:secret@db.example:5433/portal?sslmode=require",
    "REDIS_URL": "redis://broker.example/0",
    "SECRET_KEY": "x" * 60,
    "PUBLIC_URL": "https://privacy.example",
}


def read_settings(expression: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **WHOLE, **changes}
    return subprocess.run(
        [sys.executable, "-c", f"from portal import settings; print({expression})"],
        cwd=BASE_DIR,
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"DATABASE_WEB_URL": None}, "DATABASE_WEB_URL is not set"),
        ({"DATABASE_WEB_URL": "nonsense"}, "DATABASE_WEB_URL is not a PostgreSQL address"),
        ({"REDIS_URL": None}, "REDIS_URL is not set"),
        ({"SECRET_KEY": None}, "SECRET_KEY is not set"),
        ({"TICK_SECONDS": "soon"}, "TICK_SECONDS must be a whole number of at least 1, not 'soon'"),
        ({"TICK_SECONDS": "0"}, "TICK_SECONDS must be a whole number of at least 1"),
        ({"UNDO_SECONDS": "-1"}, "UNDO_SECONDS must be a whole number of at least 0"),
        ({"DEMO": "maybe"}, "DEMO must be 1 or 0"),
        ({"PORTAL_ROLE": "root"}, "PORTAL_ROLE must be one of owner, web, worker"),
        ({"PUBLIC_URL": "privacy.example"}, "PUBLIC_URL must be an http or https address"),
        ({"DEMO": "1"}, "the demo answers on this machine only"),
        ({"DEMO": "1", "PRODUCTION": "1"}, "must stay off in production"),
    ],
)
def test_a_wrong_environment_stops_the_start_and_names_the_variable(changes: dict[str, str | None], words: str) -> None:
    result = read_settings("1", **changes)
    assert result.returncode == 1
    assert words in result.stderr.splitlines()[-1]


def test_an_https_address_makes_cookies_and_redirects_strict() -> None:
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "DEBUG")
    result = read_settings("[" + ", ".join(f"settings.{name}" for name in names) + "]")
    assert result.stdout.strip() == "[True, True, True, 31536000, False]"


def test_a_database_address_keeps_its_options() -> None:
    result = read_settings("[settings.DATABASES['default'][name] for name in ('HOST', 'PORT', 'NAME', 'OPTIONS')]")
    assert result.stdout.strip() == ("['db.example', '5433', 'portal', {'connect_timeout': 5, 'sslmode': 'require'}]")


def test_a_socket_in_a_folder_with_a_space_is_a_host() -> None:
    result = read_settings(
        "settings.DATABASES['default']['HOST']", DATABASE_WEB_URL="postgresql://web:x@/portal?host=%2Ftmp%2Fa%20b"
    )
    assert result.stdout.strip() == "/tmp/a b"


def test_two_copies_on_one_machine_have_cookies_of_their_own() -> None:
    names = {
        read_settings("settings.SESSION_COOKIE_NAME", PUBLIC_URL=None, PORT=port).stdout.strip()
        for port in ("8000", "8001")
    }
    assert len(names) == 2


def test_every_variable_is_explained() -> None:
    """In docker/env.example, and nothing there that is not read."""
    explained = set(re.findall(r"^#?([A-Z_]+)=", (BASE_DIR / "docker" / "env.example").read_text(), re.MULTILINE))
    source = (BASE_DIR / "portal" / "settings.py").read_text()
    read = set(re.findall(r'(?:env|env_bool|env_int|env_list)\(\s*"([A-Z_]+)"', source))
    read |= {"DATABASE_URL", "DATABASE_WEB_URL", "DATABASE_WORKER_URL", "KEYRING", "KEYRING_FILE"}
    read |= {"SYSTEM_LOAN_URL", "SYSTEM_LOAN_TOKEN"}
    # By the name of a system or partner: see portal.core.systems.
    read |= {f"SYSTEM_PARTNER_{setting}" for setting in ("URL", "SECRET", "CERTIFICATE", "PUBLIC_KEY")}
    assert explained == read
