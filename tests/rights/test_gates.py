"""The switch, the limits, the circuit breaker and shadow mode, on the shop's real database."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import translation

from accounts.models import User
from portal.core.models import LedgerEntry
from rights.actions import erasing, gates, work
from rights.actions.gates import CannotSet
from rights.actions.work import LEASE
from rights.connectors.base import Unavailable
from rights.connectors.sql import SqlConnector, SqlSnapshot
from rights.models import Batch, Gate, Request, Step
from tests.rights.shop import NOW, Shop, State

pytestmark = [pytest.mark.role("worker"), pytest.mark.usefixtures("in_english")]
LATER = NOW + timedelta(minutes=30)
HOUR = timedelta(hours=1)


@pytest.fixture
def in_english() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture
def boss(shop: Shop) -> User:
    with shop.as_("owner"):
        return User.objects.create_user(
            account_no="900009", password=None, display_name="管理员", role="admin", email="a@mail.example", now=NOW
        )


@pytest.fixture
def approved(shop: Shop) -> Request:
    """Five visits, three orders long paid for, and the customer file of a relationship that is over."""

    shop.add_customer(closed_on=date(2020, 1, 31))
    shop.add_orders(date(2020, 1, 31), date(2020, 2, 29), date(2020, 3, 1))
    shop.add_visits(5)
    return shop.approve(shop.file(), now=NOW)


def everything(shop: Shop) -> int:
    return shop.count("visit") + shop.count("orders") + shop.count("customer")


def states(request: Request) -> set[str]:
    return set(request.steps.exclude(verb="hold").values_list("state", flat=True))


@pytest.mark.parametrize("system", ["shop", Gate.EVERY])
def test_what_is_stopped_erases_nothing_and_goes_on_where_it_was(
    shop: Shop, approved: Request, boss: User, system: str
) -> None:
    gates.stop_erasures(system=system, reason="The backup of last night failed", by=shop.reviewer, now=NOW)
    request = shop.advance(approved, now=LATER)
    assert everything(shop) == 9
    assert request.state == State.ACTING
    assert "The backup of last night failed" in str(request.steps.exclude(error="").first().error)  # type: ignore[union-attr]

    gates.resume_erasures(system=system, by=boss, now=LATER)
    request = shop.advance(request, now=LATER + timedelta(seconds=1))
    assert everything(shop) == 0
    assert request.state == State.CLOSED


def test_a_stop_takes_hold_between_two_batches(
    shop: Shop, approved: Request, boss: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "FIRST_BATCH", 1)
    monkeypatch.setattr(work, "SMALLEST_BATCH", 1)
    monkeypatch.setattr(work, "LARGEST_BATCH", 1)
    real: Callable[..., Any] = SqlConnector.erase
    calls = 0

    def stopping(self: SqlConnector, *args: Any, **kwargs: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            gates.stop_erasures(system="shop", reason="Wait", by=boss, now=LATER)
        return int(real(self, *args, **kwargs))

    monkeypatch.setattr(SqlConnector, "erase", stopping)
    request = shop.advance(approved, now=LATER)
    assert everything(shop) == 7
    assert not Batch.objects.filter(closed_at__isnull=True).exists()
    assert sum(step.done for step in request.steps.all()) == 2
    assert states(request) == {"ready"}


def test_a_stop_says_why_and_is_in_the_ledger(shop: Shop, boss: User) -> None:
    with pytest.raises(CannotSet, match="why"):
        gates.stop_erasures(system="shop", reason=" ", by=boss, now=NOW)
    gates.stop_erasures(system="shop", reason="Audit", by=boss, now=NOW)
    gates.resume_erasures(system="shop", by=boss, now=NOW)
    chain = Gate.objects.get(pk="shop").chain
    assert list(LedgerEntry.objects.filter(chain=chain).order_by("seq").values_list("kind", flat=True)) == [
        "erasures_stopped",
        "erasures_resumed",
    ]
    with pytest.raises(CannotSet, match="not stopped"):
        gates.resume_erasures(system="shop", by=boss, now=NOW)


def test_a_second_stop_leaves_who_stopped_first_and_why(shop: Shop, boss: User) -> None:
    gates.stop_erasures(system="shop", reason="The backup failed", by=shop.reviewer, now=NOW)
    with pytest.raises(CannotSet, match="The backup failed"):
        gates.stop_erasures(system="shop", reason="Another reason", by=boss, now=LATER)
    gate = Gate.objects.get(pk="shop")
    assert (gate.stopped_at, gate.stopped_by, gate.reason) == (NOW, shop.reviewer, "The backup failed")
    assert LedgerEntry.objects.filter(chain=gate.chain).count() == 1


@pytest.mark.parametrize("resume", [False, True])
def test_of_two_at_once_one_stops_or_resumes(shop: Shop, boss: User, resume: bool) -> None:
    if resume:
        gates.stop_erasures(system="shop", reason="Audit", by=boss, now=NOW)

    def act() -> str:
        try:
            if resume:
                gates.resume_erasures(system="shop", by=boss, now=LATER)
            else:
                gates.stop_erasures(system="shop", reason="Audit", by=boss, now=LATER)
        except CannotSet:
            return "refused"
        return "done"

    assert sorted(shop.in_threads(act, act)) == ["done", "refused"]
    chain = Gate.objects.get(pk="shop").chain
    kind = "erasures_resumed" if resume else "erasures_stopped"
    assert LedgerEntry.objects.filter(chain=chain, kind=kind).count() == 1


def test_a_reason_is_kept_whole_or_not_at_all(shop: Shop) -> None:
    with pytest.raises(CannotSet, match="at most 300"):
        gates.stop_erasures(system="shop", reason="x" * 301, by=shop.reviewer, now=NOW)
    gates.stop_erasures(system="shop", reason="x" * 300, by=shop.reviewer, now=NOW)


@pytest.mark.parametrize(
    ("role", "stops", "resumes"),
    [
        ("subject", False, False),
        ("support", True, False),
        ("supervisor", True, True),
        ("admin", True, True),
        ("auditor", False, False),  # sees all and changes nothing
    ],
)
def test_who_may_stop_and_who_may_resume(shop: Shop, boss: User, role: str, stops: bool, resumes: bool) -> None:
    boss.role = role
    assert (gates.may_stop(boss), gates.may_resume(boss)) == (stops, resumes)
    if not stops:
        with pytest.raises(CannotSet, match="role"):
            gates.stop_erasures(system="shop", reason="Audit", by=boss, now=NOW)
    gates.stop_erasures(system="shop", reason="Audit", by=shop.second, now=NOW)
    if resumes:
        gates.resume_erasures(system="shop", by=boss, now=LATER)
    else:
        with pytest.raises(CannotSet, match="role"):
            gates.resume_erasures(system="shop", by=boss, now=LATER)
    assert Gate.objects.filter(stopped_at__isnull=False).exists() is not resumes


@pytest.mark.parametrize("shut", ["stopped", "resting", "full"])
def test_a_gate_that_is_shut_brings_no_step_forward(shop: Shop, approved: Request, boss: User, shut: str) -> None:
    """A release waits for its day: what stands at the gate meanwhile does not make it due."""
    day = LATER + timedelta(days=1)
    waiting = Step.objects.create(
        request=approved, verb="release", system="shop", collection="shop.visit", ordinal=0, round=0, not_before=day
    )  # fmt: skip
    match shut:
        case "stopped":
            gates.stop_erasures(system="shop", reason="Audit", by=boss, now=NOW)
        case "resting":
            Gate.objects.create(system="shop", failures=gates.TRUSTED, closed_until=LATER + HOUR)
        case "full":
            Gate.objects.create(system="shop", per_minute=1)
            Step.objects.create(
                request=approved, verb="erase", system="shop", collection="shop.visit", ordinal=98, round=9,
                not_before=NOW, state="done", started_at=LATER,
            )  # fmt: skip
    shop.advance(approved, now=LATER)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.not_before, waiting.error) == ("ready", day, "")


def test_a_person_sets_no_gate(shop: Shop) -> None:
    acts: list[Callable[[], None]] = [
        lambda: gates.stop_erasures(system="shop", reason="x", by=shop.person, now=NOW),
        lambda: gates.set_shadow(system="shop", shadow=True, by=shop.reviewer, now=NOW),
        lambda: gates.set_limits(system="shop", at_once=1, per_minute=None, by=shop.reviewer, now=NOW),
    ]
    for act in acts:
        with pytest.raises(CannotSet, match="role"):
            act()
    assert not Gate.objects.exists()


def test_a_system_in_shadow_mode_is_counted_and_never_changed(shop: Shop, approved: Request, boss: User) -> None:
    gates.set_shadow(system="shop", shadow=True, by=boss, now=NOW)
    request = shop.advance(approved, now=LATER)
    assert everything(shop) == 9
    assert request.state == State.ACTING
    told = list(request.steps.filter(state="dead").values_list("error", flat=True))
    assert told
    assert "shadow mode" in told[0]
    assert "3 of shop.orders" in told[0] or "5 of shop.visit" in told[0]

    # By hand: the next try finds nothing left and believes what it sees.
    for table in ("visit", "orders", "customer"):
        shop.sql(f"DELETE FROM shop.{table}")
    request.steps.filter(state="dead").update(state="ready", not_before=LATER, attempts=0, error="")
    assert shop.advance(request, now=LATER + HOUR).state == State.CLOSED


def test_a_system_taken_live_acts(shop: Shop, approved: Request, boss: User) -> None:
    gates.set_shadow(system="shop", shadow=True, by=boss, now=NOW)
    request = shop.advance(approved, now=LATER)
    gates.set_shadow(system="shop", shadow=False, by=boss, now=LATER)
    request.steps.filter(state="dead").update(state="ready", not_before=LATER, attempts=0, error="")
    assert shop.advance(request, now=LATER + HOUR).state == State.CLOSED
    assert everything(shop) == 0


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The shop does not answer erasures; how often it was asked."""
    asked: list[int] = []

    def refuse(self: SqlSnapshot, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(1)
        raise Unavailable("The system shop cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(SqlSnapshot, "page_keys", refuse)
        yield asked


def test_a_system_that_does_not_answer_is_left_alone_for_a_while(
    shop: Shop, approved: Request, away: list[int]
) -> None:
    moment = LATER
    for _ in range(gates.TRUSTED):
        shop.advance(approved, now=moment)
        Step.objects.filter(state="ready").update(not_before=moment)
    assert len(away) == gates.TRUSTED
    gate = Gate.objects.get(pk="shop")
    assert gate.closed_until is not None
    assert gate.closed_until > moment

    # While it rests nobody asks, and the step's attempts are not used up.
    before = list(Step.objects.order_by("pk").values_list("attempts", flat=True))
    shop.advance(approved, now=moment)
    assert len(away) == gates.TRUSTED
    assert list(Step.objects.order_by("pk").values_list("attempts", flat=True)) == before

    # Then one tries for all, and its failure sends the system back to rest for longer.
    moment = gate.closed_until
    Step.objects.filter(state="ready").update(not_before=moment)
    shop.advance(approved, now=moment)
    assert len(away) == gates.TRUSTED + 1
    again = Gate.objects.get(pk="shop").closed_until
    assert again is not None
    assert again - moment > gates.REST


def test_a_system_that_answers_again_is_trusted_again(
    shop: Shop, approved: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gate.objects.create(system="shop", failures=gates.TRUSTED, closed_until=LATER)
    request = shop.advance(approved, now=LATER)
    assert request.state == State.CLOSED
    gate = Gate.objects.get(pk="shop")
    assert (gate.failures, gate.closed_until) == (0, None)


def test_no_more_steps_at_once_than_a_system_allows(shop: Shop, approved: Request, boss: User) -> None:
    gates.set_limits(system="shop", at_once=1, per_minute=None, by=boss, now=NOW)
    other = Step.objects.create(
        request=approved, verb="erase", system="shop", collection="shop.visit", ordinal=99, round=9, not_before=NOW,
        state="running", lease_until=LATER + HOUR,
    )  # fmt: skip
    request = shop.advance(approved, now=LATER)
    assert everything(shop) == 9
    assert not request.steps.exclude(pk=other.pk).filter(state="running").exists()
    other.delete()
    assert shop.advance(request, now=LATER + gates.FULL).state == State.CLOSED


def test_no_more_steps_a_minute_than_a_system_allows(shop: Shop, approved: Request, boss: User) -> None:
    gates.set_limits(system="shop", at_once=None, per_minute=2, by=boss, now=NOW)
    shop.advance(approved, now=LATER)
    assert Step.objects.filter(state="done").count() == 2
    shop.advance(approved, now=LATER + timedelta(seconds=59))
    assert Step.objects.filter(state="done").count() == 2
    shop.advance(approved, now=LATER + timedelta(seconds=61))
    assert Step.objects.filter(state="done").count() > 2


def test_two_workers_at_once_keep_to_one_limit(shop: Shop, approved: Request, boss: User) -> None:
    gates.set_limits(system="shop", at_once=1, per_minute=None, by=boss, now=NOW)
    rows = [
        Step.objects.create(
            request=approved, verb="erase", system="shop", collection="shop.visit", ordinal=n, round=9, not_before=NOW
        )
        for n in range(4)
    ]  # fmt: skip

    def take(step: Step) -> Callable[[], object]:
        return lambda: gates.claim(step, lease=LEASE, now=LATER)

    found = shop.in_threads(*(take(step) for step in rows))
    assert sum(isinstance(item, gates.Entry) for item in found) == 1
    assert sum(isinstance(item, gates.Shut) for item in found) == 3


def test_a_limit_lets_something_through(shop: Shop, boss: User) -> None:
    with pytest.raises(CannotSet, match="at least one"):
        gates.set_limits(system="shop", at_once=0, per_minute=None, by=boss, now=NOW)
