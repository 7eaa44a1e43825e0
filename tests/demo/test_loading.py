"""`demo load`, `demo reset` and `demo travel`, and the demo's own pages."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.identities import get_identities
from accounts.models import Authority, TotpDevice, User
from portal.core import clock as portal_clock
from portal.core.outbox import deliver
from portal.demo.accounts import DEMO_ACCOUNTS, DEMO_PASSWORD, STAFF, demo_account
from portal.demo.business import do_deed, find_chances
from portal.demo.loading import LoadedDemo, load_accounts, load_demo
from rights.models import DataMapVersion
from tests.demo.conftest import NOW, TODAY, count_rows

AsRole = Callable[[str], AbstractContextManager[None]]


def demo(*words: str) -> dict[str, Any]:
    said = StringIO()
    call_command("demo", *words, "--json", stdout=said)
    found: dict[str, Any] = json.loads(said.getvalue())
    return found


def _user(account_no: str) -> User:
    user = User.objects.find_by("account_no", account_no)
    assert user
    return user


@pytest.fixture
def own_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command's business systems beside those that other tests of this process count on."""

    def load_elsewhere(**given: Any) -> LoadedDemo:
        return load_demo(**{**given, "prefix": "cmdtest_", "data_dir": tmp_path})

    monkeypatch.setattr("portal.management.commands.demo.load_demo", load_elsewhere)
    return tmp_path


@pytest.mark.role("owner")
def test_load_makes_everything_once(db: None, own_systems: Path) -> None:
    first = demo("load", "--people", "20")
    assert first["loaded"]
    assert first["accounts"] == len(DEMO_ACCOUNTS)
    assert User.objects.count() == len(DEMO_ACCOUNTS)
    assert TotpDevice.objects.count() == len(STAFF)
    assert Authority.objects.count() == 3
    assert DataMapVersion.objects.filter(name="demo", live=True).count() == 1
    addresses = json.loads((own_systems / "systems.json").read_text())
    assert count_rows(addresses["platform"], "platform.profile") >= 15
    second = demo("load", "--people", "20")
    assert not second["loaded"]
    assert User.objects.count() == len(DEMO_ACCOUNTS)


@pytest.mark.role("owner")
def test_sign_ins_that_are_missing_are_made_again(db: None) -> None:
    assert load_accounts(now=NOW) == len(DEMO_ACCOUNTS)
    _user("880001").delete()
    assert load_accounts(now=NOW) == 1


@pytest.mark.role("owner")
def test_a_demo_user_is_found_in_the_systems_by_the_storys_identities(db: None) -> None:
    load_accounts(now=NOW)
    account = demo_account("chen-ruolan")
    user = _user(account.login)
    assert user.check_password(DEMO_PASSWORD)
    assert get_identities(user) == account.identities


def test_travel_moves_the_clock(clock: Callable[[datetime], None]) -> None:
    demo("travel", "--to", "2031-06-01T09:00")
    assert portal_clock.now().astimezone(portal_clock.SHANGHAI).strftime("%Y-%m-%d %H:%M") == "2031-06-01 09:00"
    demo("travel", "--back")
    with pytest.raises(CommandError, match="is not a date"):
        demo("travel", "--to", "soon")


def test_nothing_is_loaded_outside_the_demo(settings: Any) -> None:
    settings.DEMO = False
    with pytest.raises(CommandError, match="DEMO is not 1"):
        demo("load")


def test_a_repaid_loan_stops_standing_in_the_way(systems: dict[str, str]) -> None:
    chen = demo_account("chen-ruolan").identities
    chances, silent = find_chances(chen)
    assert not silent
    assert [(chance.deed.key, chance.name, str(chance.amount)) for chance in chances] == [("loan", "L2", "4260.00")]
    assert not do_deed(key="loan", row=chances[0].row, identities=demo_account("zhou-mingyuan").identities, today=TODAY)
    assert do_deed(key="loan", row=chances[0].row, identities=chen, today=TODAY)
    assert not do_deed(key="loan", row=chances[0].row, identities=chen, today=TODAY)
    assert find_chances(chen) == ([], [])
    assert count_rows(systems["loan"], "loan.loan", "contract_no = 'L2' AND settled_on = %s", TODAY) == 1
    assert count_rows(systems["loan"], "loan.repayment", "contract_no = 'L2'") == 13


@pytest.mark.parametrize(
    ("who", "deed"),
    [
        ("zhou-mingyuan", "loan"),
        ("wu-jing", "change"),
        ("chen-jianguo", "payment"),
        ("he-jianwei", "freeze"),
        ("tang-jiayi", "transit"),
        ("luo-zihan", "micoin"),
        ("zheng-guodong", "fund"),
        ("tang-jiayi", "policy"),
        ("xie-yutong", "complaint"),
        ("han-zhiqiang", "review"),
    ],
)
def test_each_blocker_can_be_cleared_in_its_system(systems: dict[str, str], who: str, deed: str) -> None:
    identities = demo_account(who).identities
    chance = next(chance for chance in find_chances(identities)[0] if chance.deed.key == deed)
    assert do_deed(key=deed, row=chance.row, identities=identities, today=TODAY)
    assert deed not in {chance.deed.key for chance in find_chances(identities)[0]}


@pytest.mark.usefixtures("static_files")
def test_the_outbox_shows_messages_and_the_codes_of_the_staff(django_as: AsRole, client: Client) -> None:
    with django_as("owner"):
        load_accounts(now=NOW)
        deliver(channel="sms", to=demo_account("wu-jing").phone, subject="", body="code 123456", now=NOW)
    page = client.get("/outbox/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "code 123456" in text
    assert "吴静" in text
    assert all(row["code"] and row["code"] in text for row in page.context["staff"])


@pytest.mark.usefixtures("static_files")
def test_the_clock_is_moved_from_the_outbox(client: Client, db: None, clock: Callable[[datetime], None]) -> None:
    before = portal_clock.now()
    assert client.post("/outbox/clock/", {"days": "30"}).status_code == 302
    assert 29 <= (portal_clock.now() - before).days <= 30
    assert client.post("/outbox/clock/", {"days": "31"}).status_code == 400
    assert client.post("/outbox/clock/", {"days": "back"}).status_code == 302


@pytest.mark.usefixtures("static_files")
def test_a_person_repays_on_the_page_of_business_systems(
    django_as: AsRole, client: Client, systems: dict[str, str]
) -> None:
    with django_as("owner"):
        load_accounts(now=NOW)
    assert client.get("/systems/").status_code == 302
    account = demo_account("chen-ruolan")
    client.post("/sign-in/", {"login": account.login, "password": account.password})
    page = client.get("/systems/")
    [chance] = page.context["chances"]
    assert client.post("/systems/", {"deed": "loan", "row": chance["row"]}).status_code == 302
    assert not client.get("/systems/").context["chances"]
    assert client.post("/systems/", {"deed": "none", "row": "1"}).status_code == 400
