"""The clock, the systems' addresses, wake-ups, the outbox, heartbeats."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from kombu.exceptions import OperationalError
from pytest_django.fixtures import Settings

from portal.core import clock, heartbeat, outbox, systems
from portal.core.models import OutboxMessage
from portal.core.wake import at_work, wake
from tests.accounts.people import NOW, AsRole

# --- the clock


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def test_the_clock_moves_by_a_file_that_every_process_reads(folder: Path) -> None:
    moment = datetime(2031, 1, 1, tzinfo=UTC)
    clock.travel_to(moment)
    assert timedelta() <= clock.now() - moment < timedelta(seconds=5)
    clock.travel_back()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_outside_demo_mode_the_clock_does_not_move(folder: Path, settings: Settings) -> None:
    clock.travel_to(datetime(2031, 1, 1, tzinfo=UTC))
    settings.DEMO = False
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    with pytest.raises(ImproperlyConfigured):
        clock.travel_to(datetime(2031, 1, 1, tzinfo=UTC))


def test_a_moment_without_a_zone_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="zone"):
        clock.travel_to(datetime(2031, 1, 1))  # noqa: DTZ001


# --- addresses


def test_an_address_comes_from_the_environment_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "systems.json").write_text(json.dumps({"loan": "postgresql://file", "micro-loan": "postgresql://other"}))
    monkeypatch.setenv("SYSTEM_MICRO_LOAN_URL", "postgresql://environment")
    assert systems.system_url("loan") == "postgresql://file"
    assert systems.system_url("micro-loan") == "postgresql://environment"


def test_an_unknown_system_names_the_variable_to_set(folder: Path, settings: Settings) -> None:
    with pytest.raises(systems.UnknownSystem, match="SYSTEM_LOAN_2_URL"):
        systems.system_url("loan.2")
    (folder / "systems.json").write_text(json.dumps({"loan": "postgresql://file"}))
    settings.DEMO = False
    with pytest.raises(systems.UnknownSystem):
        systems.system_url("loan")


# --- wake-ups


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    tasks: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs, **_: tasks.append((name, kwargs)))
    return tasks


def test_a_wake_up_waits_for_the_commit(db: None, sent: list[Any]) -> None:
    with transaction.atomic():
        wake("rights.tasks.advance", request_id="1")
        assert sent == []
    assert sent == [("rights.tasks.advance", {"request_id": "1"})]


def test_a_rolled_back_wake_up_is_never_sent(db: None, sent: list[Any]) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        wake("rights.tasks.advance", request_id="1")
        raise ZeroDivisionError
    assert sent == []


def test_who_is_at_work_is_not_woken_for_it_and_others_are(db: None, sent: list[Any]) -> None:
    with at_work(request_id="1"):
        wake("rights.tasks.advance", request_id="1")
        wake("rights.tasks.advance", request_id="2")
    wake("rights.tasks.advance", request_id="1")
    assert [kwargs["request_id"] for _, kwargs in sent] == ["2", "1"]


def test_a_dead_broker_undoes_nothing(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(current_app, "send_task", fail)
    with transaction.atomic():
        outbox.deliver(channel="sms", to="1", subject="", body="x", now=NOW)
        wake("rights.tasks.advance")
    assert OutboxMessage.objects.count() == 1


# --- the outbox


def test_the_demo_delivers_to_the_outbox(db: None) -> None:
    outbox.deliver(channel="email", to="a@mail.example", subject="主题", body="正文", now=NOW)
    message = OutboxMessage.objects.get()
    assert (message.recipient, message.subject, message.body, message.created_at) == (
        "a@mail.example",
        "主题",
        "正文",
        NOW,
    )


def test_outside_demo_mode_mail_and_text_messages_go_their_own_way(db: None, settings: Settings) -> None:
    settings.DEMO = False
    outbox.deliver(channel="email", to="a@mail.example", subject="主题", body="正文", now=NOW)
    assert [(message.to, message.subject) for message in mail.outbox] == [(["a@mail.example"], "主题")]
    with pytest.raises(ImproperlyConfigured, match="SMS_BACKEND"):
        outbox.deliver(channel="sms", to="1", subject="", body="x", now=NOW)
    settings.SMS_BACKEND = "tests.core.test_edges.send_sms"
    outbox.deliver(channel="sms", to="1", subject="", body="x", now=NOW)
    assert sms == [("1", "x")]
    assert not OutboxMessage.objects.exists()


sms: list[tuple[str, str]] = []


def send_sms(*, to: str, body: str) -> None:
    sms.append((to, body))


def test_an_unknown_channel_is_an_error(db: None) -> None:
    with pytest.raises(ValueError, match="fax"):
        outbox.deliver(channel="fax", to="1", subject="", body="x", now=NOW)


def test_a_heartbeat_keeps_the_last_beat(django_as: AsRole) -> None:
    with django_as("worker"):
        heartbeat.beat("test", NOW)
        heartbeat.beat("test", NOW + timedelta(seconds=3))
    assert heartbeat.last_beat("test") == NOW + timedelta(seconds=3)
    assert heartbeat.last_beat("nothing") is None
