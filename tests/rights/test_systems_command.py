"""What stands between the workers and the systems, by command: named accounts, and errors that say what to do."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from portal.core.models import LedgerEntry
from rights.management.office import find_account
from rights.models import Gate, Step
from tests.conftest import Clock
from tests.rights.rulebook import Rulebook
from tests.rights.shop import NOW, Shop

pytestmark = pytest.mark.role("owner")

ADMIN, SUPPORT, SUPERVISOR, PERSON = "910001", "900001", "900002", "100001"
Run = Callable[..., str]


@pytest.fixture
def run(rulebook: Rulebook, clock: Clock, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("list")`: what the command prints, on the day of the worked example."""
    clock(NOW)

    def call(*words: str) -> str:
        capsys.readouterr()
        call_command("systems", *words)
        return capsys.readouterr().out

    return call


def listed(run: Run) -> dict[str, dict[str, Any]]:
    return {item["system"]: item for item in json.loads(run("list", "--json"))["systems"]}


def gate(system: str = "shop") -> Gate:
    return Gate.objects.get(pk=system)


def test_every_system_is_listed_with_all_of_them_first(run: Run) -> None:
    assert run("list") == (
        "* (all systems): works; steps waiting 0, failed 0\n"
        "shop (Shop system): works; steps waiting 0, failed 0\n"
    )  # fmt: skip
    assert listed(run)["shop"] == {
        "system": "shop", "label": "Shop system", "stopped_since": None, "stopped_by": None, "reason": None,
        "shadow": False, "at_once": None, "per_minute": None, "failures": 0, "left_alone_until": None,
        "waiting": 0, "failed": 0,
    }  # fmt: skip


def test_steps_that_wait_and_failed_are_counted_and_a_release_that_has_its_day_is_not(shop: Shop, run: Run) -> None:
    with shop.as_("worker"):
        shop.add_customer(1, closed_on=date(2020, 1, 31))
        item = shop.approve(shop.file(), now=NOW)
        for number, (system, verb, state, days) in enumerate(
            (
                ("shop", "erase", "ready", 0), ("shop", "erase", "ready", 0), ("shop", "erase", "dead", 0),
                ("shop", "erase", "done", 0), ("shop", "release", "ready", 1), ("portal", "export", "ready", 0),
            )
        ):  # fmt: skip
            Step.objects.create(
                request=item, verb=verb, system=system, collection="shop.visit", ordinal=number, round=1, state=state,
                not_before=NOW + timedelta(days=days),
            )  # fmt: skip
    found = listed(run)
    assert (found["shop"]["waiting"], found["shop"]["failed"]) == (2, 1)
    assert (found["*"]["waiting"], found["*"]["failed"]) == (3, 1)


def test_a_system_that_does_not_answer_is_told_with_when_it_is_asked_again(shop: Shop, run: Run) -> None:
    Gate.objects.create(system="shop", failures=6, closed_until=NOW + timedelta(minutes=2))
    assert "shop (Shop system): 6 failures in a row; left alone until 2026-11-23T10:02:00+08:00;" in run("list")
    Gate.objects.update(closed_until=NOW - timedelta(minutes=2))
    assert "shop (Shop system): 6 failures in a row; steps" in run("list")


def test_without_a_system_everything_is_stopped_and_resumed(shop: Shop, run: Run) -> None:
    said = run("stop", "--reason", "The backup failed", "--by", SUPPORT)
    assert said.startswith("* (all systems): stopped since 2026-11-23T10:00:00+08:00 by 审核员: The backup failed;")
    with pytest.raises(CommandError, match="Your role"):
        run("resume", "--by", SUPPORT)
    assert run("resume", "--by", SUPERVISOR).startswith("* (all systems): works;")
    assert gate("*").stopped_at is None


def test_one_system_is_stopped_and_resumed(shop: Shop, run: Run) -> None:
    said = json.loads(run("stop", "--system", "shop", "--reason", "Audit", "--by", ADMIN, "--json"))
    assert [(item["system"], item["stopped_by"], item["reason"]) for item in said["systems"]] == [
        ("shop", "管理员甲", "Audit")
    ]
    with pytest.raises(CommandError, match=r"Erasures are not stopped there\. Stopped are: shop\."):
        run("resume", "--by", ADMIN)
    run("resume", "--system", "shop", "--by", ADMIN)
    with pytest.raises(CommandError, match=r"Erasures are not stopped there\.$"):
        run("resume", "--system", "shop", "--by", ADMIN)
    kinds = LedgerEntry.objects.filter(chain=gate().chain).order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["erasures_stopped", "erasures_resumed"]


def test_a_second_stop_is_refused_with_the_reason_of_the_first(run: Run) -> None:
    run("stop", "--reason", "The backup failed", "--by", ADMIN)
    with pytest.raises(CommandError, match="stopped there already: The backup failed"):
        run("stop", "--reason", "Another", "--by", SUPPORT)
    assert gate("*").reason == "The backup failed"


def test_a_system_is_counted_only_and_taken_live(run: Run) -> None:
    assert "shadow mode" in run("shadow", "on", "--system", "shop", "--by", ADMIN)
    assert gate().shadow
    assert "works" in run("shadow", "off", "--system", "shop", "--by", ADMIN)
    assert not gate().shadow


def test_a_limit_that_is_not_given_stays(run: Run) -> None:
    said = run("limit", "--system", "shop", "--at-once", "2", "--per-minute", "60", "--by", ADMIN)
    assert "at most 2 steps at once; at most 60 steps a minute" in said
    run("limit", "--system", "shop", "--at-once", "none", "--by", ADMIN)
    assert (gate().at_once, gate().per_minute) == (None, 60)


def test_of_two_who_each_set_one_limit_neither_is_lost(shop: Shop, run: Run) -> None:
    def limit(option: str, number: str) -> Callable[[], object]:
        return lambda: call_command("systems", "limit", "--system", "shop", option, number, "--by", ADMIN)

    shop.in_threads(limit("--at-once", "2"), limit("--per-minute", "60"))
    assert (gate().at_once, gate().per_minute) == (2, 60)


def test_a_system_that_left_the_map_while_stopped_can_be_resumed(run: Run) -> None:
    Gate.objects.create(system="old", stopped_at=NOW, stopped_by_id=account_id(SUPPORT), reason="Moved")
    assert "old (not in the live map): stopped since" in run("list")
    run("resume", "--system", "old", "--by", ADMIN)
    assert gate("old").stopped_at is None


def account_id(number: str) -> Any:
    return find_account(number).pk


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stop", "--reason", "x", "--system", "shpo", "--by", ADMIN), r"no such system\. Known are: \*, shop\."),
        (("resume", "--system", "shpo", "--by", ADMIN), "Known are"),
        (("shadow", "on", "--system", "*", "--by", ADMIN), r"name one system\. Known are: shop"),
        (("limit", "--system", "*", "--at-once", "1", "--by", ADMIN), "name one system"),
        (("stop", "--reason", " ", "--by", ADMIN), "Write why nothing is to be erased"),
        (("stop", "--reason", "x" * 301, "--by", ADMIN), "at most 300 characters"),
        (("stop", "--reason", "x", "--by", "1"), "--by 1: there is no such account"),
        (("stop", "--reason", "x", "--by", PERSON), "Your role does not"),
        (("shadow", "on", "--system", "shop", "--by", SUPPORT), "Your role does not"),
        (("shadow", "maybe", "--system", "shop", "--by", ADMIN), "invalid choice: 'maybe'"),
        (("limit", "--system", "shop", "--by", SUPERVISOR, "--at-once", "1"), "Your role does not"),
        (("limit", "--system", "shop", "--by", ADMIN), "Give --at-once or --per-minute, each a number or none"),
        (("limit", "--system", "shop", "--by", ADMIN, "--at-once", "0"), "0 is no limit; write a whole number"),
        (("limit", "--system", "shop", "--by", ADMIN, "--at-once", "-1"), "-1 is no limit"),
        (("limit", "--system", "shop", "--by", ADMIN, "--per-minute", "many"), "many is no limit; write a"),
        (("limit", "--system", "shop", "--by", ADMIN, "--at-once", "32768"), "32768 is no limit"),
    ],
)  # fmt: skip
def test_a_refused_command_says_why_and_changes_nothing(run: Run, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run(*words)
    assert not Gate.objects.exists()
