"""Rules, exceptions and the handling policy by command: two named administrators, and errors that say what to do."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from rights.kernel.states import Kind
from rights.models import PolicyVersion, RetentionException, RetentionRule
from rights.queries import policy_in_force
from tests.conftest import Clock
from tests.rights.rulebook import Rulebook
from tests.rights.shop import NOW, Shop, State

pytestmark = pytest.mark.role("owner")

FIRST, SECOND = "910001", "910002"
RULE = (
    "AML-7-TXN", "--class", "TXN", "--class", "LOAN", "--duration", "P7Y", "--citation", "a law", "--trigger",
    "the end of the transaction", "--from", "2026-01-01", "--supersedes", "AML-5-TXN",
)  # fmt: skip
SUSPEND = (
    "--effect", "suspend", "--basis", "a claim", "--evidence", "docket 1", "--expires", "2028-06-30",
)  # fmt: skip
Run = Callable[..., str]


@pytest.fixture
def run(rulebook: Rulebook, clock: Clock, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("retention", "list")`: what the command prints, on the day of the worked example."""
    clock(NOW)

    def call(*words: str) -> str:
        capsys.readouterr()
        call_command(*words)
        return capsys.readouterr().out

    return call


@pytest.fixture
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_the_end(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", at_the_end)


def account(number: str) -> User:
    found = User.objects.find_by("account_no", number)
    assert found is not None
    return found


# --- rules


def test_a_rule_is_proposed_by_one_and_approved_by_another_on_what_it_changes(
    shop: Shop, rulebook: Rulebook, run: Run
) -> None:
    """Two orders held by AML-5-TXN, of 2021-12-01 and 2022-02-10: seven years each."""
    with shop.as_("worker"):
        shop.add_customer(1, closed_on=date(2020, 1, 31))
        shop.add_orders(date(2021, 12, 1), date(2022, 2, 10))
        held = shop.advance(shop.approve(shop.file(), now=NOW), now=NOW + timedelta(minutes=15))
    assert held.state == State.CLOSED
    said = run("retention", "propose", *RULE, "--by", FIRST)
    assert "AML-7-TXN: proposed; minimum P7Y for TXN, LOAN of every company, from 2026-01-01" in said
    assert "proposed by 管理员甲" in said
    said = run("retention", "approve", "AML-7-TXN", "--by", SECOND, "--yes")
    for part in ("2 holds anew", "2 records of 1 people", "2028-12-01 to 2029-02-10", "a reading of the law"):
        assert part in said
    assert "AML-7-TXN: active" in said
    row = RetentionRule.objects.get(code="AML-7-TXN")
    assert (row.proposed_by, row.activated_by) == (account(FIRST), account(SECOND))
    listed = {rule["rule"]: rule for rule in json.loads(run("retention", "list", "--json"))["rules"]}
    assert listed["AML-7-TXN"]["approved_by"] == "管理员乙"
    assert listed["AML-10-TXN"]["state"] == "proposed"


def test_a_rule_that_the_product_ships_is_adopted_first(run: Run) -> None:
    with pytest.raises(CommandError, match="One administrator proposes AML-10-TXN first"):
        run("retention", "approve", "AML-10-TXN", "--by", SECOND, "--yes")
    run("retention", "adopt", "AML-10-TXN", "--by", FIRST)
    run("retention", "approve", "AML-10-TXN", "--by", SECOND, "--yes", "--json")
    assert RetentionRule.objects.get(code="AML-10-TXN").activated_at


def test_a_proposal_is_withdrawn(run: Run) -> None:
    run("retention", "propose", *RULE, "--by", FIRST)
    assert "AML-7-TXN: retired" in run("retention", "withdraw", "AML-7-TXN", "--by", SECOND)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("approve", "AML-7-TXN", "--by", FIRST, "--yes"), "Who proposed it cannot activate it; another"),
        (("approve", "AML-7-TXN", "--by", "1"), "--by 1: there is no such account"),
        (("approve", "AML-7", "--by", SECOND, "--yes"), "There is no rule AML-7. Known are: ACC-30, AML-10-KYC"),
        (("approve", "AML-7-TXN", "--by", SECOND), "To agree to what was shown, add --yes"),
        (("propose", *RULE, "--duration", "7", "--by", SECOND), "7 is no duration"),
        (("propose", *RULE, "--class", "TXM", "--by", SECOND), "TXM is not a class; use one of"),
        (("propose", *RULE, "--from", "tomorrow", "--by", SECOND), "tomorrow is no day"),
    ],
)
def test_a_refused_rule_says_why_and_changes_nothing(
    run: Run, nobody_answers: None, words: tuple[str, ...], said: str
) -> None:
    run("retention", "propose", *RULE, "--by", FIRST)
    with pytest.raises(CommandError, match=said):
        run("retention", *words)
    assert RetentionRule.objects.get(code="AML-7-TXN").activated_at is None


def test_only_administrators_make_rules(shop: Shop, run: Run) -> None:
    for words in (("propose", *RULE), ("adopt", "AML-10-TXN")):
        with pytest.raises(CommandError, match="Only administrators"):
            run("retention", *words, "--by", shop.reviewer.account_no)


# --- exceptions


def test_an_exception_is_previewed_approved_by_another_and_listed(shop: Shop, run: Run) -> None:
    person = shop.person.account_no
    with shop.as_("worker"):
        shop.add_customer(1)
        shop.add_visits(3)
    said = run("exceptions", "propose", *SUSPEND, "--person", person, "--collection", "shop.visit", "--by", FIRST)
    assert "3 records of a plan made now" in said
    assert "docket" not in said, "evidence is sealed"
    row = RetentionException.objects.get()
    assert str(row.pk) in said
    with pytest.raises(CommandError, match="another administrator does"):
        run("exceptions", "approve", str(row.pk), "--by", FIRST, "--yes")
    said = run("exceptions", "approve", str(row.pk)[:8], "--by", SECOND, "--yes")
    assert "3 records of a plan made now" in said
    listed = json.loads(run("exceptions", "list", "--json"))["exceptions"]
    assert [(item["state"], item["scope"], item["expires_on"], item["approved_by"]) for item in listed] == [
        ("active", {"person": person, "collection": "shop.visit"}, "2028-06-30", "管理员乙")
    ]
    with pytest.raises(CommandError, match="no open proposal"):
        run("exceptions", "withdraw", str(row.pk), "--by", SECOND)


def test_a_confidential_exception_is_there_only_for_whom_it_was_opened_to(run: Run) -> None:
    run("exceptions", "propose", *SUSPEND, "--entity", "shop", "--confidential", "--by", FIRST)
    row = RetentionException.objects.get()
    assert str(row.pk) in run("exceptions", "list", "--by", SECOND)
    assert run("exceptions", "list") == "There is none.\n"
    User.objects.filter(pk=account(SECOND).pk).update(confidential=False)
    assert run("exceptions", "list", "--by", SECOND) == "There is none.\n"
    with pytest.raises(CommandError, match="There is no exception"):
        run("exceptions", "approve", str(row.pk), "--by", SECOND, "--yes")
    assert RetentionException.objects.get().approved_at is None


def test_an_early_release_is_refused_while_a_law_holds_what_it_covers(shop: Shop, run: Run) -> None:
    with shop.as_("worker"):
        shop.add_customer(1, closed_on=date(2020, 1, 31))
        shop.add_orders(date(2022, 2, 10))
    with pytest.raises(CommandError, match="AML-5-TXN still holds this until 2027-02-10"):
        run(
            "exceptions", "propose", *SUSPEND, "--effect", "release", "--person", str(shop.person.account_no),
            "--collection", "shop.orders", "--by", FIRST,
        )  # fmt: skip
    assert not RetentionException.objects.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name whom or what it concerns"),
        (("--person", "1"), "--person 1: there is no such account"),
        (("--case", "DSR-1"), "--case DSR-1: there is no such case"),
        (("--collection", "shop.nothing"), "shop.nothing is not in the data map"),
        (("--entity", "shop", "--expires", "2026-11-22"), "It would have expired already"),
    ],
)
def test_a_refused_exception_says_why(run: Run, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run("exceptions", "propose", *SUSPEND, *words, "--by", FIRST)
    assert not RetentionException.objects.exists()


def test_without_a_yes_no_exception_is_approved(run: Run, nobody_answers: None) -> None:
    run("exceptions", "propose", *SUSPEND, "--entity", "shop", "--by", FIRST)
    row = RetentionException.objects.get()
    with pytest.raises(CommandError, match="add --yes"):
        run("exceptions", "approve", str(row.pk), "--by", SECOND)
    assert "withdrawn" in run("exceptions", "withdraw", str(row.pk), "--by", FIRST)


# --- the handling policy


def write(folder: Path, rules: Any) -> str:
    file = folder / "policy.json"
    file.write_text(json.dumps(rules), encoding="utf-8")
    return str(file)


def test_the_policy_is_proposed_shown_and_approved_by_another(run: Run, tmp_path: Path) -> None:
    shown = json.loads(run("handling", "show", "--json"))
    assert shown["versions"] == []
    rules = shown["rules"]
    del rules["through"]["access"]
    run("handling", "propose", write(tmp_path, rules), "--basis", "copies are looked at", "--by", FIRST)
    assert Kind.ACCESS in policy_in_force().through
    with pytest.raises(CommandError, match="Another administrator has to approve"):
        run("handling", "approve", "1", "--by", FIRST, "--yes")
    said = run("handling", "approve", "1", "--by", SECOND, "--yes")
    assert "1: in force; copies are looked at (proposed by 管理员甲, approved by 管理员乙)" in said
    assert '"access"' in said.partition("Then:")[0]
    assert '"access"' not in said.partition("Then:")[2]
    assert Kind.ACCESS not in policy_in_force().through


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"thruogh": {}}, "thruogh: no such entry; write through"),
        ({"repeats": 0}, "repeats: write a whole number from 1 on"),
        ({"through": {"acces": {}}}, "through.acces: no such kind; write access"),
        ([], "write a JSON object"),
    ],
)
def test_a_faulty_policy_says_which_entry(run: Run, tmp_path: Path, rules: Any, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run("handling", "propose", write(tmp_path, rules), "--basis", "x", "--by", FIRST)
    assert not PolicyVersion.objects.exists()


def test_a_version_that_is_not_there_and_a_file_that_is_none_are_named(
    run: Run, tmp_path: Path, nobody_answers: None
) -> None:
    with pytest.raises(CommandError, match="no version 7"):
        run("handling", "approve", "7", "--by", SECOND)
    with pytest.raises(CommandError, match=r"nowhere\.json cannot be read"):
        run("handling", "propose", str(tmp_path / "nowhere.json"), "--basis", "x", "--by", FIRST)
    run("handling", "propose", write(tmp_path, {}), "--basis", "x", "--by", FIRST)
    with pytest.raises(CommandError, match="add --yes"):
        run("handling", "approve", "1", "--by", SECOND)
    assert not PolicyVersion.objects.get().in_force
