"""One-time codes."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from accounts import stepup
from accounts.models import OneTimeCode, User
from portal.core import keyring
from portal.core.models import OutboxMessage
from tests.accounts.people import NOW, AsRole, make_user, speak_for

RunSql = Callable[..., list[tuple[Any, ...]]]
ACTION = "submit:deletion"


@pytest.fixture
def me(django_as: AsRole) -> User:
    user = make_user(django_as)
    speak_for(user)
    return user


def send(user: User, *, action: str = ACTION, after: timedelta = timedelta()) -> str:
    """Send a code and read it from the outbox."""
    stepup.issue_code(user=user, action=action, now=NOW + after)
    body = OutboxMessage.objects.order_by("-created_at").values_list("body", flat=True)[0]
    match = re.search(r"\d{6}", body)
    assert match
    return match.group()


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_a_code_goes_to_the_phone_and_confirms(me: User) -> None:
    code = send(me)
    assert OutboxMessage.objects.get().recipient == me.phone
    stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW + timedelta(minutes=4))


def test_only_a_keyed_digest_is_kept(me: User, owner_sql: RunSql) -> None:
    code = send(me)
    ((row,),) = owner_sql("SELECT accounts_onetimecode::text FROM accounts_onetimecode")
    assert code not in row
    assert keyring.blind_index("code", code)[3:] not in row


def test_a_code_confirms_once(me: User) -> None:
    code = send(me)
    stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW)
    with pytest.raises(stepup.UsedCode):
        stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW)


def test_a_code_confirms_its_own_action_only(me: User) -> None:
    code = send(me)
    with pytest.raises(stepup.ExpiredCode):
        stepup.confirm_code(user=me, action="submit:cancellation", code=code, now=NOW)
    other = send(me, action="submit:cancellation")
    if other != code:
        with pytest.raises(stepup.WrongCode):
            stepup.confirm_code(user=me, action="submit:cancellation", code=code, now=NOW)
    stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW)


def test_a_code_confirms_its_own_user_only(me: User, django_as: AsRole) -> None:
    code = send(me)
    other = make_user(django_as)
    speak_for(other)
    with pytest.raises(stepup.ExpiredCode):
        stepup.confirm_code(user=other, action=ACTION, code=code, now=NOW)


def test_a_code_ends_after_five_minutes(me: User) -> None:
    code = send(me)
    with pytest.raises(stepup.ExpiredCode):
        stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW + timedelta(minutes=5))


def test_a_new_code_ends_the_one_before(me: User) -> None:
    first = send(me)
    second = send(me, after=timedelta(seconds=30))
    if first != second:
        with pytest.raises(stepup.WrongCode):
            stepup.confirm_code(user=me, action=ACTION, code=first, now=NOW + timedelta(minutes=1))
    stepup.confirm_code(user=me, action=ACTION, code=second, now=NOW + timedelta(minutes=1))


def test_wrong_codes_count_down_to_none(me: User) -> None:
    code = send(me)
    for left in (4, 3, 2, 1, 0, 0):
        with pytest.raises(stepup.WrongCode) as error:
            stepup.confirm_code(user=me, action=ACTION, code=wrong(code), now=NOW)
        assert error.value.tries_left == left
    with pytest.raises(stepup.WrongCode):
        stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW)


def test_a_confirmation_inside_a_transaction_is_refused_as_its_tries_would_be_rolled_back(me: User) -> None:
    code = send(me)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        stepup.confirm_code(user=me, action=ACTION, code=wrong(code), now=NOW)


def test_five_codes_in_a_quarter_of_an_hour_are_enough(me: User) -> None:
    for minute in range(5):
        send(me, after=timedelta(minutes=minute))
    with pytest.raises(stepup.Throttled) as error:
        send(me, action="submit:cancellation", after=timedelta(minutes=5))
    assert error.value.retry_at == NOW + timedelta(minutes=15)
    send(me, after=timedelta(minutes=15))


def test_a_code_sent_before_the_key_rotated_still_confirms(me: User) -> None:
    code = send(me)
    keyring.rotate("index")
    stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW)


@pytest.mark.parametrize("code", ["", "x", "１２３４５６", "0" * 500, "\x00"])
def test_nonsense_is_a_wrong_code(me: User, code: str) -> None:
    send(me)
    with pytest.raises(stepup.WrongCode):
        stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW)


def in_threads(user: User, count: int, work: Callable[[], None]) -> list[type[BaseException] | None]:
    """What `work` came to in each of `count` threads that speak for `user`."""
    results: list[type[BaseException] | None] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        try:
            speak_for(user)
            barrier.wait()
            work()
            results.append(None)
        except Exception as error:  # noqa: BLE001 - which one it is, is the test
            results.append(type(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_code_sent_many_times_at_once_confirms_once(me: User) -> None:
    code = send(me)
    results = in_threads(me, 6, lambda: stepup.confirm_code(user=me, action=ACTION, code=code, now=NOW))
    assert results.count(None) == 1
    assert results.count(stepup.UsedCode) == 5


def test_wrong_codes_sent_at_once_are_all_counted(me: User) -> None:
    bad = wrong(send(me))
    in_threads(me, 5, lambda: stepup.confirm_code(user=me, action=ACTION, code=bad, now=NOW))
    assert OneTimeCode.objects.get().tries == 5


def test_codes_asked_for_at_once_do_not_pass_the_throttle_together(me: User) -> None:
    results = in_threads(me, 7, lambda: stepup.issue_code(user=me, action=ACTION, now=NOW))
    assert results.count(None) == 5
    assert results.count(stepup.Throttled) == 2
    assert OneTimeCode.objects.filter(superseded_at=None).count() == 1


def test_the_message_is_in_the_language_of_the_user(me: User) -> None:
    me.language = "en"
    send(me)
    assert OutboxMessage.objects.get().body.startswith("Your code is ")
