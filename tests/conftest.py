"""What every test stands on. The environment is made before Django's settings are read.

- A test that uses the database (`db` or `django_db`) runs as the web role on real, committed rows, cleaned before it.
- `@pytest.mark.role("worker")` runs a test as another role; `django_as("owner")` does for a block.
- `bank` is a real bank with its own records, which stay out of the repository; without them its tests skip.
- `live` is a running portal: web, worker and beat; its address is what the fixture gives.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import django
import psycopg
import pytest
from psycopg import sql

from portal import processes
from portal.management.commands import messages
from tests import stack as stacks
from tests.waiting import answers, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from pytest_django import DjangoDbBlocker

    from tests.business import Business

WITHOUT_PARTS = tuple(stacks.BASE_DIR / "tests" / name for name in ("kernel", "mutation"))
_stack: list[stacks.Stack] = []


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One stack per process that runs tests; the process that only hands them out to others needs none."""
    hands_out = bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
    if not hasattr(config, "workerinput"):
        messages.compile_catalogues()
    if hands_out:
        return  # the environment is passed on to those who run the tests, and they make their own
    if config.option.collectonly or config.option.help or _needs_no_parts(config):
        _name_parts_without_starting()
    else:
        _stack.append(stacks.start_stack())
    django.setup()


def _needs_no_parts(config: pytest.Config) -> bool:
    """The kernel is pure: its tests alone start in no time."""
    chosen = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return all(any(path.is_relative_to(folder) for folder in WITHOUT_PARTS) for path in chosen)


def _name_parts_without_starting() -> None:
    os.environ.setdefault("DATABASE_WEB_URL", "postgresql://127.0.0.1/none")
    os.environ.setdefault("REDIS_URL", "redis://127.0.0.1/0")
    os.environ.setdefault("SECRET_KEY", "for collecting tests")
    os.environ.setdefault("DEMO", "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that want the running portal come last, so that it is started once a process; of either kind the largest
    first, so that the processes end together."""
    count = Counter(item.path for item in items)
    wants_live = {item.path for item in items if "live" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path in wants_live, -count[item.path], str(item.path)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure against the live portal comes with what the portal said."""
    report = yield
    if report.failed and _stack and {"live", "open_page", "portal"} & set(getattr(item, "fixturenames", ())):
        log = _stack[0].data_dir / "portal.log"
        if log.exists():
            report.sections.append(("The end of portal.log", "".join(log.open().readlines()[-60:])))
    return report


@pytest.fixture(scope="session")
def stack() -> stacks.Stack:
    return _stack[0]


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, stack: stacks.Stack) -> None:
    """The migrated database itself; pytest-django would make another one, as a role that may not."""
    stack.wait_migrated()


@pytest.fixture
def _django_db_helper(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: "DjangoDbBlocker", stack: stacks.Stack
) -> Iterator[None]:
    """Committed rows instead of pytest-django's rolled-back transaction: workers and business systems must see them."""
    if "live" not in request.fixturenames:
        _stop_live()
    stack.clean()
    marker = request.node.get_closest_marker("role")
    with django_db_blocker.unblock(), ExitStack() as exits:
        if marker:
            exits.enter_context(stacks.django_as(stack, marker.args[0]))
        yield
        _forget_connections()


def _forget_connections() -> None:
    """The next test starts with connections that speak for nobody."""
    from django.db import connections  # noqa: PLC0415 - settings are not made yet when this file is read

    connections.close_all()
    stacks.close_connections()


@pytest.fixture
def clean(db: None) -> None:
    """An empty portal. The same as `db`, named for what a test wants to say."""


@pytest.fixture
def owner_sql(stack: stacks.Stack, django_db_setup: None) -> Callable[..., list[tuple[Any, ...]]]:
    """Run SQL as the role that owns the tables: `owner_sql("SELECT ...", [values])`; `role=` for another."""
    return stack.run_sql


@pytest.fixture
def as_role(
    stack: stacks.Stack, django_db_setup: None
) -> "Callable[[str], AbstractContextManager[psycopg.Connection[Any]]]":
    """`with as_role("staff") as connection:` owner, web, staff, worker or superuser."""
    return stack.connect


@pytest.fixture
def django_as(stack: stacks.Stack, db: None) -> Callable[[str], AbstractContextManager[None]]:
    """`with django_as("worker"):` Django's models as another role."""
    return lambda role: stacks.django_as(stack, role)


class Clock(Protocol):
    def __call__(self, moment: datetime) -> None: ...


@pytest.fixture
def clock(stack: stacks.Stack) -> Iterator[Clock]:
    """`clock(moment)` moves the time of this process and of all live ones; afterwards it is the real one again."""
    from portal.core import clock as portal_clock  # noqa: PLC0415 - settings are not made yet when this file is read

    yield portal_clock.travel_to
    portal_clock.travel_back()


_business: "list[Business]" = []


@pytest.fixture
def business(stack: stacks.Stack, db: None, clock: Clock) -> "Business":
    """The demo's business systems and sign-ins as loaded, on the day of the worked example, 09:00 in Shanghai.

    `business.sql("loan", "SELECT ...")`, `business.count("loan", "loan.loan")`, `business.account("chen")`.
    """
    from tests import business as businesses  # noqa: PLC0415 - settings are not made yet when this file is read

    clock(businesses.TODAY)
    if _business:
        _business[0].put_back()
    else:
        with stacks.django_as(stack, "owner"):
            _business.append(businesses.load_business(stack))
    return _business[0]


_running: list[processes.Supervisor] = []


@pytest.fixture
def live(stack: stacks.Stack, django_db_setup: None) -> str:
    """The portal as it runs: gunicorn, a Celery worker and beat. Gives its address once it says it is ready.

    It goes on for the tests after this one that want it, and stops before the first that does not: a worker that runs
    would do what such a test wants to do itself, at another time of day.
    """
    if not _running:
        _start_live(stack)
    return stack.base_url


def _start_live(stack: stacks.Stack) -> None:
    collect_static()
    supervisor = processes.Supervisor(
        environment=dict(os.environ), data_dir=stack.data_dir, port=stack.port, say=lambda text: None
    )
    _running.append(supervisor)
    supervisor.start()

    def is_ready() -> bool:
        supervisor.look()
        if supervisor.gives_up():
            pytest.fail(explain())
        return answers(f"{stack.base_url}/readyz")

    def explain() -> str:
        with supervisor.log.open() as log:
            return "the portal is not ready; its log ends:\n" + "".join(log.readlines()[-30:])

    wait_until(is_ready, seconds=40, what=explain)


def _stop_live() -> None:
    while _running:
        _running.pop().stop()


@pytest.fixture(scope="session", autouse=True)
def _live_ends_with_the_session() -> Iterator[None]:
    yield
    _stop_live()


def collect_static() -> None:
    from django.core.management import call_command  # noqa: PLC0415 - settings are not made yet when this file is read

    call_command("collectstatic", interactive=False, verbosity=0)


CHROMIUM = Path("/usr/bin/chromium")
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
INSTALL = "apt-get install -y --no-install-recommends chromium fonts-noto-cjk"


def _find_chromium() -> Path:
    """Debian's own; fetched where we may, else the one command is said."""
    if not CHROMIUM.exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in ("apt-get update", INSTALL):
            subprocess.run(command.split(), check=False, capture_output=True)
    if not CHROMIUM.exists():
        pytest.fail(f"The browser tests need Debian's chromium and a Chinese font. Run: sudo {INSTALL}")
    return CHROMIUM


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only browser tests pay for it

    # Playwright runs its own event loop in this thread, and Django takes that for asynchronous code of ours.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    flags = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_find_chromium(), args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: "Browser", live: str) -> "Iterator[Callable[..., Page]]":
    """`open_page(width=360, javascript=False)`: a fresh profile that speaks Chinese, at the portal's address."""
    with ExitStack() as exits:

        def open_one(*, width: int = 1280, height: int = 800, javascript: bool = True, locale: str = "zh-CN") -> "Page":
            context = browser.new_context(
                base_url=live,
                viewport={"width": width, "height": height},
                java_script_enabled=javascript,
                locale=locale,
                timezone_id="Asia/Shanghai",
            )
            exits.callback(context.close)
            context.set_default_timeout(10_000)
            return context.new_page()

        yield open_one


def bank_folder() -> Path:
    return Path(os.environ.get("PKDD99_DIR") or stacks.BASE_DIR.parent / "shared" / "data" / "pkdd99")


@pytest.fixture(scope="session")
def bank_url(stack: stacks.Stack) -> str:
    """The address of a database with the bank's records as published; each test gets a copy of it by `bank`."""
    loader = bank_folder() / "load.py"
    if not loader.is_file():
        pytest.skip(f"THE BANK'S RECORDS ARE NOT HERE: {loader} is missing; set PKDD99_DIR to where they are.")
    original = stack.make_database("pkdd99_original")
    with psycopg.connect(original) as connection:
        load = _load_module(loader)
        connection.execute(load.DDL)
        for table, rows in load.tables(28):
            with connection.cursor().copy(f"COPY pkdd99.{table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
    return original


@pytest.fixture
def bank(stack: stacks.Stack, bank_url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """A connection to a fresh copy, at the address the portal knows as the system pkdd99."""
    with stack.connect("superuser") as admin:
        for statement in (
            "DROP DATABASE IF EXISTS pkdd99 WITH (FORCE)",
            "CREATE DATABASE pkdd99 TEMPLATE pkdd99_original",
        ):
            admin.execute(sql.SQL(statement))
    with psycopg.connect(stack.url_of_database("pkdd99"), autocommit=True) as connection:
        yield connection


def _load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("pkdd99_load", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
