"""Every claim of `conformance` for every kind that is asked, against a real server that behaves well or badly."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rights.connectors import outbound
from rights.connectors.base import Answer, Ask, Outcome, Refused, Unavailable
from rights.connectors.registry import PARTNERS
from tests.connectors import partners
from tests.connectors.conformance import CALLS, DROPS, KINDS, LOOKS, MACHINE, NOW, NUMBER, SIGNS, Case, Kind, open_case
from tests.connectors.partners import Hook, Processor


def of(*abilities: str) -> pytest.MarkDecorator:
    """For every kind that can do all of these."""
    able = [kind for kind in KINDS if set(abilities) <= kind.can]
    return pytest.mark.parametrize("case", able, ids=[kind.name for kind in able], indirect=True)


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    kind: Kind = request.param
    with open_case(kind, folder=tmp_path, set_environment=monkeypatch.setenv) as built:
        yield built


def machine(case: Case) -> partners.Partner:
    assert case.other is not None
    return case.other


def asked(case: Case) -> tuple[Ask, Answer]:
    """A request that was handed over, as it would be looked at later."""
    ask = case.ask()
    answer = case.partner.ask(ask, now=NOW)
    return case.ask(number=ask.id, status_url=answer.status_url), answer


def test_every_kind_of_the_registry_is_held_to_this(request: pytest.FixtureRequest) -> None:
    assert {kind.name.split()[0] for kind in KINDS} == set(PARTNERS)


@of(MACHINE)
def test_a_machine_takes_the_request_once(case: Case) -> None:
    _ask, answer = asked(case)
    assert answer.outcome in {Outcome.PENDING, Outcome.DONE}
    assert len(machine(case).effects) == 1


@of(CALLS)
def test_what_answers_later_is_pending(case: Case) -> None:
    assert asked(case)[1].outcome is Outcome.PENDING


@of(MACHINE)
def test_a_request_that_is_handed_over_twice_has_one_effect(case: Case) -> None:
    other, ask = machine(case), case.ask()
    case.partner.ask(ask, now=NOW)
    case.partner.ask(case.ask(number=ask.id, again=True), now=NOW)
    assert other.effects == [str(ask.id)]


@of(MACHINE)
def test_a_request_that_it_took_without_saying_so_is_not_taken_again(case: Case) -> None:
    other, ask = machine(case), case.ask()
    other.mood = "lost"
    with pytest.raises(Unavailable):
        case.partner.ask(ask, now=NOW)
    case.partner.ask(case.ask(number=ask.id, again=True), now=NOW)
    assert other.effects == [str(ask.id)]


@of(MACHINE)
@pytest.mark.parametrize("mood", ["down", "broken"])
def test_trouble_is_a_reason_to_try_later_and_names_no_person(case: Case, mood: str) -> None:
    machine(case).mood = mood
    with pytest.raises(Unavailable) as caught:
        case.partner.ask(case.ask(), now=NOW)
    assert NUMBER not in str(caught.value)


@of(MACHINE)
def test_a_slow_answer_is_an_answer(case: Case) -> None:
    machine(case).mood = "slow"
    assert asked(case)[1].outcome in {Outcome.PENDING, Outcome.DONE}


@of(MACHINE)
def test_a_refusal_is_final_and_names_no_person(case: Case) -> None:
    machine(case).mood = "refusing"
    with pytest.raises(Refused) as caught:
        case.partner.ask(case.ask(), now=NOW)
    assert NUMBER not in str(caught.value)


@of(SIGNS)
def test_what_is_not_provably_theirs_says_nothing(case: Case) -> None:
    machine(case).mood = "forged"
    with pytest.raises(Unavailable, match="signature"):
        case.partner.ask(case.ask(), now=NOW)


@of(LOOKS)
def test_a_look_says_how_far_it_is_and_how_many_it_were(case: Case) -> None:
    ask, _answer = asked(case)
    assert case.partner.look(ask, now=NOW).outcome is Outcome.PENDING
    machine(case).finish(str(ask.id), "completed" if isinstance(case.other, Processor) else "done")
    assert case.partner.look(ask, now=NOW) == Answer(Outcome.DONE, count=3)


@of(LOOKS)
def test_what_never_finishes_stays_pending_and_fails_nothing(case: Case) -> None:
    ask, _answer = asked(case)
    machine(case).mood = "silent"
    assert case.partner.look(ask, now=NOW + timedelta(days=300)).outcome is Outcome.PENDING


@of(CALLS)
def test_a_callback_that_is_theirs_is_taken(case: Case) -> None:
    ask, _answer = asked(case)
    machine(case).finish(str(ask.id), "completed" if isinstance(case.other, Processor) else "done")
    number, answer = case.partner.read_callback(*case.callback(ask), now=NOW)
    assert (number, answer.outcome, answer.count) == (ask.id, Outcome.DONE, 3)


@of(CALLS)
def test_a_callback_that_is_not_theirs_or_was_changed_is_refused(case: Case) -> None:
    ask, _answer = asked(case)
    headers, body = case.callback(ask)
    with pytest.raises(Refused):
        case.partner.read_callback(headers, body + b" ", now=NOW)
    with pytest.raises(Refused):
        case.partner.read_callback({}, body, now=NOW)
    machine(case).mood = "forged"
    with pytest.raises(Refused):
        case.partner.read_callback(*case.callback(ask), now=NOW)


@of(DROPS)
def test_what_it_has_not_begun_is_dropped_and_what_it_has_goes_on(case: Case) -> None:
    first, _answer = asked(case)
    assert case.partner.take_back(first, now=NOW).outcome is Outcome.NOT_DONE
    second, _answer = asked(case)
    machine(case).finish(str(second.id), "in_progress")
    assert case.partner.take_back(second, now=NOW).outcome is Outcome.PENDING


@of(MACHINE)
def test_what_is_not_set_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(case)
    case.partner.check()
    monkeypatch.delenv("SYSTEM_PARTNER_SECRET")
    with pytest.raises(Unavailable, match="SYSTEM_PARTNER_SECRET"):
        case.partner.check()


def test_a_task_for_staff_is_left_to_them_and_takes_nothing_by_machine(tmp_path: Path) -> None:
    (kind,) = [kind for kind in KINDS if kind.name == "manual"]
    with open_case(kind, folder=tmp_path, set_environment=lambda name, value: None) as case:
        assert asked(case)[1].outcome is Outcome.BY_HAND
        with pytest.raises(Refused):
            case.partner.read_callback({}, b"{}", now=NOW)


# --- one protocol's own


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    with open_case(KINDS[0], folder=tmp_path, set_environment=monkeypatch.setenv) as built:
        yield built


def test_an_answer_from_another_domain_or_certificate_says_nothing(processor: Case, tmp_path: Path) -> None:
    other = processor.other
    assert isinstance(other, Processor)
    other.domain = "dsr.somebody-else.example"
    with pytest.raises(Unavailable, match="domain"):
        processor.partner.ask(processor.ask(), now=NOW)
    other.domain = partners.DOMAIN
    partners.make_certificate(other.key, tmp_path / "partner.pem", domain="dsr.somebody-else.example")
    with pytest.raises(Unavailable, match="another domain"):
        processor.partner.ask(processor.ask(), now=NOW)


def test_a_certificate_that_is_over_signs_nothing(processor: Case, tmp_path: Path) -> None:
    assert isinstance(processor.other, Processor)
    partners.make_certificate(processor.other.key, tmp_path / "partner.pem", begun=3650, days=-3000)
    with pytest.raises(Unavailable, match="not valid today"):
        processor.partner.ask(processor.ask(), now=NOW)


def test_a_callback_meant_for_another_address_is_refused(processor: Case) -> None:
    ask, _answer = asked(processor)
    assert isinstance(processor.other, Processor)
    sent = processor.other.callback(str(ask.id), url="https://privacy.example/api/v1/callbacks/other/")
    with pytest.raises(Refused, match="another address"):
        processor.partner.read_callback(*sent, now=NOW)


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    (kind,) = [kind for kind in KINDS if kind.name == "webhook hmac asked"]
    with open_case(kind, folder=tmp_path, set_environment=monkeypatch.setenv) as built:
        yield built


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_callback_of_another_time_is_a_replay(hook: Case, minutes: int) -> None:
    ask, _answer = asked(hook)
    old = hook.callback(ask, at=NOW + timedelta(minutes=minutes))
    with pytest.raises(Refused, match="old or too new"):
        hook.partner.read_callback(*old, now=NOW)


def test_nobody_is_sent_elsewhere_to_look(hook: Case) -> None:
    assert isinstance(hook.other, Hook)
    hook.other.mood = "elsewhere"
    with pytest.raises(Unavailable, match="not the partner's own"):
        hook.partner.ask(hook.ask(), now=NOW)


@pytest.mark.parametrize("url", ["https://partner.example:99999/look", "https://[", "//other.example/", "http:look"])
def test_an_address_that_is_none_or_another_is_not_asked(url: str) -> None:
    with pytest.raises(Unavailable, match="not the partner's own"):
        outbound.join_own("https://partner.example/requests", url)


def test_an_answer_that_is_no_end_of_brackets_is_a_broken_one() -> None:
    with pytest.raises(Unavailable, match="not a JSON object"):
        outbound.Reply(200, {}, b"[" * 500_000).json()


def test_a_reason_that_a_database_cannot_hold_is_held_without_it(hook: Case) -> None:
    ask, _answer = asked(hook)
    assert isinstance(hook.other, Hook)
    sent = hook.other.callback(str(ask.id), at=NOW, status="refused", reason="no\0body")
    _number, answer = hook.partner.read_callback(*sent, now=NOW)
    assert (answer.outcome, answer.reason) == (Outcome.NOT_DONE, "nobody")


def test_yes_is_no_number_of_records(processor: Case) -> None:
    ask, _answer = asked(processor)
    assert isinstance(processor.other, Processor)
    sent = processor.other.callback(str(ask.id), url=ask.callback_url, request_status="completed", results_count=True)
    assert processor.partner.read_callback(*sent, now=NOW)[1] == Answer(Outcome.DONE, count=None)


def test_an_address_without_encryption_is_not_called() -> None:
    with pytest.raises(Refused, match="https"):
        outbound.call("GET", "http://192.0.2.1/requests")


def test_a_call_ends_after_its_time(hook: Case) -> None:
    assert isinstance(hook.other, Hook)
    hook.other.mood = "slow"
    with pytest.raises(Unavailable):
        outbound.call("GET", f"{hook.other.url}/status/x", patience=0.1)


def test_a_redirect_is_not_followed(hook: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever could redirect us could have our requests, and our secret, sent anywhere."""
    assert isinstance(hook.other, Hook)

    def redirect(*args: Any) -> tuple[int, dict[str, str], bytes]:
        return 307, {"Location": "http://127.0.0.1:1/"}, b""

    monkeypatch.setattr(hook.other, "answer", redirect)
    with pytest.raises(Refused, match="307"):
        hook.partner.ask(hook.ask(), now=NOW)
