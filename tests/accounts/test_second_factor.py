"""Staff's second factor, and API tokens."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django_otp.oath import hotp
from pytest_django.fixtures import Settings
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts import tokens, totp
from accounts.models import TotpDevice, User
from portal.core import clock
from tests.accounts.people import NOW, AsRole, current_role, make_user, speak_for

RunSql = Callable[..., list[tuple[Any, ...]]]
SECRET = "3132333435363738393031323334353637383930"


@pytest.fixture
def staff(django_as: AsRole) -> User:
    user = make_user(django_as, role="support")
    with django_as("owner"):
        totp.enrol(user=user, now=NOW, secret=SECRET)
    speak_for(user)
    return user


def code_at(moment: datetime) -> str:
    """The code as django-otp's own implementation computes it."""
    return f"{hotp(bytes.fromhex(SECRET), int(moment.timestamp()) // 30):06d}"


def test_the_code_is_that_of_rfc_6238(staff: User) -> None:
    """Appendix B of the RFC, cut to 6 digits."""
    device = TotpDevice.objects.get()
    assert totp.current_code(device, datetime.fromtimestamp(59, UTC)) == "287082"
    assert totp.current_code(device, datetime.fromtimestamp(1111111109, UTC)) == "081804"


def test_the_secret_is_sealed(staff: User, owner_sql: RunSql) -> None:
    ((row,),) = owner_sql("SELECT accounts_totpdevice::text FROM accounts_totpdevice")
    assert SECRET not in row
    assert SECRET.encode().hex() not in row


@pytest.mark.parametrize("seconds", [-30, 0, 30])
def test_a_clock_may_be_half_a_minute_off(staff: User, seconds: int) -> None:
    totp.verify_code(user=staff, code=code_at(NOW + timedelta(seconds=seconds)), now=NOW)


def test_a_code_counts_once(staff: User) -> None:
    totp.verify_code(user=staff, code=code_at(NOW), now=NOW)
    with pytest.raises(totp.TotpRefused):
        totp.verify_code(user=staff, code=code_at(NOW), now=NOW)
    later = NOW + timedelta(seconds=31)
    totp.verify_code(user=staff, code=code_at(later), now=later)


def test_wrong_codes_double_the_wait(staff: User) -> None:
    for wait in (1, 2, 4):
        with pytest.raises(totp.TotpRefused) as error:
            totp.verify_code(user=staff, code="000000", now=NOW + timedelta(seconds=10 * wait))
        assert error.value.retry_at == NOW + timedelta(seconds=11 * wait)
    soon = NOW + timedelta(seconds=43)
    with pytest.raises(totp.TotpDelayed):
        totp.verify_code(user=staff, code=code_at(soon), now=soon)
    totp.verify_code(user=staff, code=code_at(soon), now=soon + timedelta(seconds=1))


def test_one_code_sent_at_once_is_accepted_once(staff: User) -> None:
    results: list[bool] = []
    barrier = threading.Barrier(4)

    def run() -> None:
        try:
            speak_for(staff)
            barrier.wait()
            totp.verify_code(user=staff, code=code_at(NOW), now=NOW)
            results.append(True)
        except totp.TotpRefused:
            results.append(False)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]


def test_persons_have_no_second_factor(django_as: AsRole) -> None:
    user = make_user(django_as)
    with pytest.raises(ValueError, match="staff"):
        totp.enrol(user=user, now=NOW)


def test_the_demo_shows_the_current_code_and_nothing_else_does(staff: User, settings: Settings) -> None:
    speak_for(None)
    assert totp.show_code(staff.account_no, now=NOW) == code_at(NOW)
    assert current_role() == ("portal_web", "")
    assert totp.show_code("nobody", now=NOW) is None
    settings.DEMO = False
    with pytest.raises(ImproperlyConfigured):
        totp.show_code(staff.account_no, now=NOW)


def test_an_app_can_be_enrolled_by_its_address(staff: User) -> None:
    address = totp.enrolment_address(TotpDevice.objects.get(), label="990001", issuer="Privacy desk")
    assert address.startswith("otpauth://totp/Privacy%20desk:990001?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&")


# --- tokens


def ask(token: str) -> Any:
    request = Request(APIRequestFactory().get("/", headers={"authorization": f"Bearer {token}"}))
    return tokens.TokenAuthentication().authenticate(request)


def test_a_token_speaks_for_its_user(django_as: AsRole) -> None:
    user = make_user(django_as)
    speak_for(user)
    token = tokens.issue_token(user=user, now=clock.now())
    speak_for(None)
    found, row = ask(token)
    assert found == user
    assert row.user_id == user.pk
    assert current_role() == ("portal_web", str(user.pk))


def test_only_the_digest_of_a_token_is_kept(django_as: AsRole, owner_sql: RunSql) -> None:
    user = make_user(django_as)
    speak_for(user)
    token = tokens.issue_token(user=user, now=clock.now())
    ((row,),) = owner_sql("SELECT accounts_apitoken::text FROM accounts_apitoken")
    assert token not in row
    assert token.removeprefix(tokens.PREFIX) not in row


@pytest.mark.parametrize("how", ["unknown", "revoked", "expired", "inactive"])
def test_a_bad_token_opens_nothing(django_as: AsRole, how: str) -> None:
    user = make_user(django_as)
    speak_for(user)
    issued = clock.now() - (timedelta(hours=12) if how == "expired" else timedelta())
    token = tokens.issue_token(user=user, now=issued)
    if how == "revoked":
        assert tokens.revoke_token(user=user, token=token, now=clock.now())
    if how == "inactive":
        with django_as("owner"):
            User.objects.filter(pk=user.pk).update(is_active=False)
    speak_for(None)
    with pytest.raises(AuthenticationFailed):
        ask("unknown" if how == "unknown" else token)
    assert current_role() == ("portal_web", "")


@pytest.mark.parametrize(("second_factor", "role"), [(True, "portal_staff"), (False, "portal_web")])
def test_a_token_of_staff_is_staff_only_after_a_second_factor(staff: User, second_factor: bool, role: str) -> None:
    token = tokens.issue_token(user=staff, now=clock.now(), second_factor=second_factor)
    speak_for(None)
    ask(token)
    assert current_role() == (role, str(staff.pk))


def test_other_schemes_are_left_to_others(db: None) -> None:
    assert tokens.TokenAuthentication().authenticate(Request(APIRequestFactory().get("/"))) is None
    basic = APIRequestFactory().get("/", headers={"authorization": "Basic eDp5"})
    assert tokens.TokenAuthentication().authenticate(Request(basic)) is None
