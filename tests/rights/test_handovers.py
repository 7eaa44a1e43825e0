"""Systems that are asked and recipients that are told: each once, followed to its answer, and never passed over."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from portal.core import ledger
from rights.actions import gates, handovers, tasks
from rights.actions.datamap import store_documents
from rights.actions.files import MB, FileRefused, read_file
from rights.actions.handovers import take_callback
from rights.actions.review import CannotDecide, retry_step
from rights.connectors.base import Answer, Outcome
from rights.kernel.states import Kind
from rights.models import Evidence, Gate, Handover, Notice, Request, Step
from rights.transitions import StaleRequest
from tests.connectors.partners import Hook, Processor, connect_hook, connect_processor, serve
from tests.rights.shop import DOCUMENTS, GOVERNANCE, NOW, Shop, State

pytestmark = pytest.mark.role("worker")

LATER = NOW + timedelta(minutes=15)  # the undo period is over
LAPSED = date(2020, 5, 5)
PDF = b"%PDF-1.7 shredded, see signature"


def load(shop: Shop, **sections: Any) -> None:
    """The shop's map with further sections; `recipients_of` names who received the visits and orders."""
    stated = yaml.safe_load(GOVERNANCE)
    for collection, names in sections.pop("recipients_of", {}).items():
        stated["collections"][collection]["recipients"] = names
    for section, more in sections.items():
        stated[section] = {**stated.get(section, {}), **more}
    with shop.as_("owner"):
        store_documents({**DOCUMENTS, "governance.yml": yaml.safe_dump(stated)}, name="shop", now=NOW)


ARCHIVE = {
    "kind": "manual",
    "entity": "shop",
    "label": {"zh": "纸质档案", "en": "Paper archive"},
    "instructions": {"zh": "销毁档案袋", "en": "Shred the folder"},
    "days": 5,
}


def customer(shop: Shop) -> None:
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(LAPSED, LAPSED)
    shop.add_visits(4)


def deletion(shop: Shop) -> Request:
    """Approved, and taken as far as it goes once the undo period is over."""
    customer(shop)
    return shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)


def of(request: Request, party: str, act: str = "erase") -> Handover:
    return Handover.objects.select_related("request", "owner").get(request=request, party=party, act=act)


# --- a system that no machine can reach


@pytest.fixture
def archived(shop: Shop) -> Request:
    load(shop, systems={"archive": ARCHIVE})
    return deletion(shop)


def test_a_plan_says_who_is_asked_and_claims_no_number_of_it(shop: Shop) -> None:
    load(shop, systems={"archive": ARCHIVE})
    customer(shop)
    plan = shop.plan(shop.file())
    assert plan.asked == ("archive",)
    assert plan.total == 7  # the customer, two orders and four visits: nothing is counted of the archive


def test_the_request_waits_for_the_archive_and_for_nothing_else(shop: Shop, archived: Request) -> None:
    assert archived.state == State.ACTING
    assert shop.count("visit") == 0
    task = of(archived, "archive")
    assert (task.state, task.channel, task.due_on) == ("ready", "manual", date(2026, 11, 28))  # 5 days
    shop.tick(LATER + timedelta(days=1))
    assert shop.look(archived).state == State.ACTING


def test_nothing_is_asked_before_the_undo_period_is_over(shop: Shop) -> None:
    load(shop, systems={"archive": ARCHIVE})
    customer(shop)
    shop.advance(shop.approve(shop.file(), now=NOW), now=NOW)
    assert not Handover.objects.exists()


def test_while_erasures_are_stopped_nobody_else_is_asked_to_erase(shop: Shop) -> None:
    load(shop, systems={"archive": ARCHIVE})
    gates.stop_erasures(system=Gate.EVERY, reason="The map is wrong", by=shop.reviewer, now=NOW)
    request = deletion(shop)
    assert not Handover.objects.exists()
    assert "The map is wrong" in shop.step(request, "archive").error
    gates.resume_erasures(system=Gate.EVERY, by=shop.second, now=LATER)
    shop.advance(request, now=LATER + timedelta(seconds=1))
    assert of(request, "archive").state == "ready"


def test_a_task_done_by_a_member_of_staff_lets_the_request_close(shop: Shop, archived: Request) -> None:
    task = of(archived, "archive")
    tasks.claim_task(task, staff=shop.reviewer)
    task.refresh_from_db()
    tasks.file_evidence(task, staff=shop.reviewer, name="shredded.pdf", content=PDF, now=LATER)
    tasks.complete_task(task, staff=shop.reviewer, count=2, note="两份档案已销毁", now=LATER)
    closed = shop.advance(archived, now=LATER)
    assert closed.state == State.CLOSED
    task.refresh_from_db()
    assert (task.state, task.count, task.settled_by, task.note) == ("confirmed", 2, shop.reviewer, "两份档案已销毁")
    assert shop.step(archived, "archive").done == 2
    assert ledger.verify().problems == []


def test_evidence_lies_sealed_and_is_read_back_whole(shop: Shop, archived: Request) -> None:
    task = of(archived, "archive")
    tasks.claim_task(task, staff=shop.reviewer)
    task.refresh_from_db()
    filed = tasks.file_evidence(task, staff=shop.reviewer, name="shredded.pdf", content=PDF, now=LATER)
    ((raw,),) = shop.stack.run_sql("SELECT content FROM rights_evidence")
    assert b"%PDF" not in bytes(raw)
    assert b"JVBERi" not in bytes(raw)  # the same in base64
    read = Evidence.objects.get(pk=filed.pk)
    assert (read_file(read), read.media_type) == (PDF, "application/pdf")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"MZ\x90 a program", "PDF", id="another type, whatever its name says"),
        pytest.param(PDF + b"." * settings.FILE_MB * MB, "MB", id="too large"),
    ],
)
def test_evidence_of_another_type_or_too_large_is_refused(
    shop: Shop, archived: Request, content: bytes, words: str
) -> None:
    task = of(archived, "archive")
    tasks.claim_task(task, staff=shop.reviewer)
    task.refresh_from_db()
    with pytest.raises(FileRefused, match=words):
        tasks.file_evidence(task, staff=shop.reviewer, name="shredded.pdf", content=content, now=LATER)
    assert not Evidence.objects.exists()


def test_done_needs_a_count_and_a_taken_task(shop: Shop, archived: Request) -> None:
    task = of(archived, "archive")
    with pytest.raises(StaleRequest):
        tasks.complete_task(task, staff=shop.reviewer, count=1, note="", now=LATER)
    tasks.claim_task(task, staff=shop.reviewer)
    task.refresh_from_db()
    with pytest.raises(StaleRequest):
        tasks.claim_task(task, staff=shop.second)
    with pytest.raises(CannotDecide):
        tasks.complete_task(task, staff=shop.reviewer, count=None, note="", now=LATER)
    assert of(archived, "archive").state == "ready"


def test_nobody_works_a_task_of_their_own_case(shop: Shop, archived: Request) -> None:
    with pytest.raises(CannotDecide):
        tasks.claim_task(of(archived, "archive"), staff=shop.person)


def test_a_returned_task_is_a_failed_step_and_is_asked_anew_when_tried_again(shop: Shop, archived: Request) -> None:
    task = of(archived, "archive")
    tasks.claim_task(task, staff=shop.reviewer)
    task.refresh_from_db()
    tasks.return_task(task, staff=shop.reviewer, reason="档案在另一个仓库", now=LATER)
    step = shop.step(archived, "archive")
    assert (step.state, shop.look(archived).state) == (Step.State.DEAD, State.ACTING)
    retry_step(step, reviewer=shop.reviewer, now=LATER)
    shop.advance(archived, now=LATER)
    assert sorted(Handover.objects.values_list("ordinal", "state")) == [(0, "returned"), (1, "ready")]


def test_a_late_task_is_an_alarm_once_to_whoever_has_it_and_to_the_supervisors(shop: Shop, archived: Request) -> None:
    task = of(archived, "archive")
    tasks.claim_task(task, staff=shop.reviewer)
    shop.tick(LATER + timedelta(days=5))  # 28 November is the last day
    assert not Notice.objects.filter(kind="handover_late").exists()
    for day in (6, 7):
        shop.tick(LATER + timedelta(days=day))
    told = Notice.objects.filter(kind="handover_late").values_list("user", flat=True)
    assert sorted(told) == sorted([shop.reviewer.pk, shop.second.pk])
    assert shop.events(archived).count("handover_late") == 1


def test_what_is_asked_is_due_no_later_than_the_request(shop: Shop) -> None:
    load(shop, systems={"archive": {**ARCHIVE, "days": 60}})
    assert of(deletion(shop), "archive").due_on == date(2026, 12, 8)


def test_a_company_with_a_fact_in_the_way_is_asked_once_it_has_cleared(shop: Shop) -> None:
    load(shop, systems={"archive": ARCHIVE})
    customer(shop)
    shop.add_loan(100)
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert request.state == State.DEFERRED
    assert not Handover.objects.exists()
    shop.sql("UPDATE shop.loan SET balance = 0, settled_on = '2020-01-01'")
    shop.tick(LATER + timedelta(days=1))
    assert of(request, "archive").state == "ready"


def test_a_system_of_another_company_is_not_asked(shop: Shop) -> None:
    load(
        shop,
        entities={"other": {"name": {"zh": "别家", "en": "Other"}}},
        systems={"archive": {**ARCHIVE, "entity": "other"}},
    )
    customer(shop)
    assert shop.plan(shop.file(entities=["shop"])).asked == ()


# --- recipients

DUIBA = {"name": {"zh": "兑吧", "en": "Duiba"}, "days": 20}
BANKS = {"zh": "银行", "en": "Banks"}


def test_recipients_are_told_of_what_went_and_only_of_that(shop: Shop) -> None:
    load(
        shop,
        recipients={"duiba": DUIBA},
        recipients_of={"shop.visit": ["duiba"], "shop.orders": [BANKS], "shop.parcel": [{"zh": "快递", "en": "Post"}]},
    )
    request = deletion(shop)
    told = {item.party: (item.collections, item.state, item.due_on) for item in Handover.objects.all()}
    assert told == {
        "duiba": (["shop.visit"], "ready", date(2026, 11, 30)),  # a week to write
        "Banks": (["shop.orders"], "ready", date(2026, 11, 30)),
    }
    assert request.state == State.CLOSED  # nothing but letters is left


def test_a_letter_is_told_confirmed_and_late_on_dates_of_its_own(shop: Shop) -> None:
    load(shop, recipients={"duiba": DUIBA}, recipients_of={"shop.visit": ["duiba"]})
    request = deletion(shop)
    task = of(request, "duiba")
    tasks.claim_task(task, staff=shop.reviewer)
    task.refresh_from_db()
    tasks.record_told(task, staff=shop.reviewer, now=LATER)
    task.refresh_from_db()
    assert (task.state, task.due_on) == ("sent", date(2026, 12, 13))  # 20 days to answer
    shop.tick(NOW + timedelta(days=21))
    assert Notice.objects.filter(kind="handover_late", user=shop.second).count() == 1
    tasks.complete_task(task, staff=shop.reviewer, count=None, note="", now=NOW + timedelta(days=22))
    assert [event for event in shop.events(request) if event in {"told", "confirmed"}] == ["told", "confirmed"]


def test_a_correction_and_a_withdrawal_are_passed_on_as_what_they_are(shop: Shop) -> None:
    load(shop, recipients_of={"shop.customer": [BANKS], "shop.visit": [DUIBA["name"]]})
    shop.add_customer(1)
    shop.sql("INSERT INTO shop.consent VALUES (1, 'recommendation', true, NULL)")
    shop.add_visits(2)
    corrected = shop.file(Kind.CORRECTION, items=[{"correction": "phone", "old": "19900000001", "new": "19900000009"}])
    withdrawn = shop.file(Kind.WITHDRAWAL, purposes=["recommendation"])
    assert [(item.party, item.act) for item in corrected.handovers.all()] == [("Banks", "correct")]
    acts = sorted((item.party, item.act) for item in withdrawn.handovers.all())
    assert acts == [("Duiba", "erase"), ("Duiba", "stop")]


def test_a_release_years_later_is_told_too(shop: Shop) -> None:
    load(shop, recipients_of={"shop.orders": [BANKS]})
    shop.add_customer(1, closed_on=date(2020, 1, 31))
    shop.add_orders(date(2021, 12, 1))
    request = shop.advance(shop.approve(shop.file(), now=NOW), now=LATER)
    assert not Handover.objects.exists()  # held, so there is nothing to tell yet
    shop.tick(NOW + timedelta(days=9))  # 2 December: the five years are over
    assert shop.count("orders") == 0
    assert of(request, "Banks").collections == ["shop.orders"]


# --- partners that answer by machine


@pytest.fixture
def processor(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processor]:
    with serve(Processor()) as partner:
        assert isinstance(partner, Processor)
        connect_processor(partner, "partner", set_environment=monkeypatch.setenv, folder=tmp_path)
        yield partner


@pytest.fixture
def hook(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with serve(Hook()) as partner:
        assert isinstance(partner, Hook)
        connect_hook(partner, "hook", set_environment=monkeypatch.setenv)
        yield partner


OPENDSR = {"kind": "opendsr", "entity": "shop", "opendsr": {"domain": "dsr.partner.example", "path": "/dsr"}}
HOOK = {"kind": "webhook", "name": {"zh": "钩子", "en": "Hook"}}


def test_a_processor_is_asked_once_and_the_request_closes_when_it_has_finished(
    shop: Shop, processor: Processor
) -> None:
    load(shop, systems={"partner": OPENDSR})
    request = deletion(shop)
    (number,) = processor.requests
    sent = processor.requests[number]
    assert sent["subject_request_type"] == "erasure"
    assert sent["subject_identities"] == [
        {"identity_type": "controller_customer_id", "identity_value": "100001", "identity_format": "raw"}
    ]
    assert request.state == State.ACTING
    processor.finish(number, "completed")
    shop.tick(LATER + timedelta(minutes=2))
    assert shop.look(request).state == State.CLOSED
    assert (of(request, "partner").state, of(request, "partner").count) == ("confirmed", 3)
    assert processor.effects == [number]


def test_a_processor_that_took_a_request_and_failed_to_say_so_is_not_asked_twice(
    shop: Shop, processor: Processor
) -> None:
    processor.mood = "lost"
    load(shop, systems={"partner": OPENDSR})
    request = deletion(shop)
    assert of(request, "partner").state == "ready"
    shop.tick(LATER + timedelta(minutes=1))
    assert len(processor.effects) == 1
    assert [method for method, _path in processor.calls] == ["POST", "GET"]


@pytest.mark.parametrize("mood", ["down", "broken", "forged"])
def test_a_processor_that_cannot_be_believed_is_asked_again_and_is_late_in_the_end(
    shop: Shop, processor: Processor, mood: str
) -> None:
    processor.mood = mood
    load(shop, systems={"partner": OPENDSR})
    request = deletion(shop)
    assert of(request, "partner").state == "ready"
    assert of(request, "partner").error
    shop.tick(NOW + timedelta(days=11))
    assert Notice.objects.filter(kind="handover_late", user=shop.second).count() == 1
    assert shop.look(request).state == State.ACTING
    processor.mood = "well"
    shop.tick(NOW + timedelta(days=12))
    assert len(processor.requests) == 1


def test_a_processor_that_never_finishes_raises_our_alarm(shop: Shop, processor: Processor) -> None:
    processor.mood = "silent"
    load(shop, systems={"partner": OPENDSR})
    request = deletion(shop)
    for day in range(1, 12):
        shop.tick(NOW + timedelta(days=day))
    assert shop.events(request).count("handover_late") == 1
    assert of(request, "partner").state == "sent"


def test_a_request_that_a_processor_cancels_comes_to_the_desk(shop: Shop, processor: Processor) -> None:
    load(shop, systems={"partner": OPENDSR})
    request = deletion(shop)
    (number,) = processor.requests
    processor.finish(number, "cancelled")
    shop.tick(LATER + timedelta(minutes=2))
    step = shop.step(request, "partner")
    assert (step.state, step.error) == (Step.State.DEAD, "It was cancelled.")


def test_what_a_processor_has_not_begun_can_be_taken_back(shop: Shop, processor: Processor) -> None:
    load(shop, systems={"partner": OPENDSR})
    request = deletion(shop)
    task = of(request, "partner")
    tasks.claim_task(task, staff=shop.reviewer)
    task.refresh_from_db()
    assert tasks.take_back_task(task, staff=shop.reviewer, now=LATER)
    assert processor.requests[str(task.pk)]["status"] == "cancelled"
    assert of(request, "partner").state == "returned"


def test_what_a_processor_has_begun_goes_on(shop: Shop, processor: Processor) -> None:
    load(shop, systems={"partner": OPENDSR})
    request = deletion(shop)
    task = of(request, "partner")
    processor.finish(str(task.pk), "in_progress")
    tasks.claim_task(task, staff=shop.reviewer)
    task.refresh_from_db()
    assert not tasks.take_back_task(task, staff=shop.reviewer, now=LATER)
    assert of(request, "partner").state == "sent"


def test_an_answer_that_comes_twice_counts_once(shop: Shop, processor: Processor) -> None:
    load(shop, systems={"partner": OPENDSR})
    request = deletion(shop)
    number = of(request, "partner").pk
    for count in (3, 99):
        assert take_callback("partner", number, Answer(Outcome.DONE, count=count), now=LATER)
    assert of(request, "partner").count == 3
    assert shop.events(request).count("confirmed") == 1
    assert not take_callback("hook", number, Answer(Outcome.DONE), now=LATER)  # it is another party's


def test_a_recipient_with_a_webhook_is_told_before_the_request_closes(shop: Shop, hook: Hook) -> None:
    hook.mood = "down"
    load(shop, recipients={"hook": HOOK}, recipients_of={"shop.visit": ["hook"]})
    request = deletion(shop)
    assert request.state == State.ACTING
    hook.mood = "well"
    shop.tick(LATER + timedelta(minutes=1))
    assert shop.look(request).state == State.CLOSED
    task = of(request, "hook")
    assert (task.state, task.count, hook.effects) == ("confirmed", 3, [str(task.pk)])


def test_a_recipient_that_is_away_for_a_week_keeps_nobody_waiting(shop: Shop, hook: Hook) -> None:
    hook.mood = "down"
    load(shop, recipients={"hook": HOOK}, recipients_of={"shop.visit": ["hook"]})
    request = deletion(shop)
    shop.tick(NOW + timedelta(days=8))
    assert shop.look(request).state == State.CLOSED
    assert of(request, "hook").state == "ready"
    assert Notice.objects.filter(kind="handover_late").exists()


def test_a_recipient_that_refuses_is_written_to_instead(shop: Shop, hook: Hook) -> None:
    hook.mood = "refusing"
    load(shop, recipients={"hook": HOOK}, recipients_of={"shop.visit": ["hook"]})
    request = deletion(shop)
    task = of(request, "hook")
    assert (task.state, task.error, request.state) == ("returned", "It answered 400 to the request.", State.CLOSED)
    tasks.ask_again(task, staff=shop.reviewer, by_letter=True, now=LATER)
    task = of(request, "hook")
    assert (task.state, task.channel, task.owner) == ("ready", "manual", shop.reviewer)


def test_of_two_workers_one_asks(shop: Shop, hook: Hook) -> None:
    hook.mood, hook.later = "slow", "called"
    load(shop, recipients={"hook": HOOK}, recipients_of={"shop.visit": ["hook"], "shop.orders": [BANKS]})
    request = shop.approve(_with_customer(shop), now=NOW)
    shop.in_threads(*[lambda: shop.advance(request, now=LATER) for _ in range(3)])
    shop.advance(request, now=LATER)
    assert len([method for method, _path in hook.calls if method == "POST"]) == 1
    assert sorted(request.handovers.values_list("party", flat=True)) == ["Banks", "hook"]


def test_a_worker_that_has_read_before_another_wrote_tells_nobody_twice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(shop, recipients_of={"shop.orders": [BANKS]})
    real = handovers._make

    def late(request: Request, **fields: Any) -> None:
        real(request, **fields)  # the other worker, which has read the same
        real(request, **fields)

    monkeypatch.setattr(handovers, "_make", late)
    request = deletion(shop)
    assert list(request.handovers.values_list("party", flat=True)) == ["Banks"]


def _with_customer(shop: Shop) -> Request:
    customer(shop)
    return shop.file()
