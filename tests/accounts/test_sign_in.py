"""The sign-in pages, as a person's browser meets them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from pytest_django.fixtures import Settings

from accounts import standin, totp
from accounts.models import TotpDevice, User
from accounts.permissions import PERMISSIONS, can, staff_required, subject_required
from portal.core import clock
from portal.urls import urlpatterns as portal_urls
from tests.accounts.conftest import QuickHasher
from tests.accounts.people import PASSWORD, AsRole, current_role, make_user

RunSql = Callable[..., list[tuple[Any, ...]]]


def show_role(request: HttpRequest) -> HttpResponse:
    role, user = current_role()
    return HttpResponse(f"{role} {user} {User.objects.count()}")


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path("test/role/", show_role),
    path("test/fail/", fail),
    path("test/mine/", subject_required(show_role)),
    path("test/queue/", staff_required("request.claim")(show_role)),
    path("test/rules/", staff_required("console.edit")(show_role)),
    path("", include(portal_urls)),
]
pytestmark = pytest.mark.urls("tests.accounts.test_sign_in")


@pytest.fixture
def browser(db: None) -> Client:
    return Client(headers={"accept-language": "en"})


def sign_in(browser: Client, login: str, password: str = PASSWORD, **more: str) -> Any:
    return browser.post("/sign-in/", {"login": login, "password": password, **more})


def make_staff(django_as: AsRole, role: str = "support") -> tuple[User, TotpDevice]:
    user = make_user(django_as, role=role)
    with django_as("owner"):
        return user, totp.enrol(user=user, now=clock.now())


def give_code(browser: Client, device: TotpDevice, **more: str) -> Any:
    return browser.post("/sign-in/code/", {"code": totp.current_code(device, clock.now()), **more})


# --- a person


@pytest.mark.parametrize("login", ["{account_no}", "{phone}", " +86 {phone} "])
def test_a_person_signs_in_by_number_or_phone_and_speaks_for_themselves(
    browser: Client, django_as: AsRole, login: str
) -> None:
    me, _other = make_user(django_as), make_user(django_as)
    answer = sign_in(browser, login.format(account_no=me.account_no, phone=me.phone))
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert browser.get("/test/role/").content.decode() == f"portal_web {me.pk} 1"
    assert current_role() == ("portal_web", "")


@pytest.mark.parametrize("how", ["password", "number", "inactive", "no password"])
def test_every_failure_reads_the_same(browser: Client, django_as: AsRole, how: str) -> None:
    me = make_user(django_as, password=None if how == "no password" else PASSWORD)
    if how == "inactive":
        with django_as("owner"):
            User.objects.filter(pk=me.pk).update(is_active=False)
    answer = sign_in(
        browser, "nobody" if how == "number" else me.account_no, "wrong" if how == "password" else PASSWORD
    )
    assert answer.status_code == 422
    assert "The number or the password is not right." in answer.content.decode()
    assert browser.get("/test/role/").content.decode() == "portal_web  0"


def test_a_number_that_nobody_has_costs_as_much_work_as_a_wrong_password(
    browser: Client, django_as: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: one Argon2 computation either way."""
    me = make_user(django_as)
    work: list[str] = []
    for name in ("encode", "verify"):
        original = getattr(QuickHasher, name)

        def counted(*args: Any, original: Any = original, name: str = name) -> Any:
            work.append(name)
            return original(*args)

        monkeypatch.setattr(QuickHasher, name, counted)
    sign_in(browser, me.account_no, "wrong")
    sign_in(browser, "nobody", "wrong")
    assert work == ["verify", "encode"]


def test_passwords_are_kept_as_argon2(django_as: AsRole) -> None:
    assert make_user(django_as).password.startswith("argon2$argon2id$")


def test_the_session_is_a_new_one_after_signing_in(browser: Client, django_as: AsRole) -> None:
    session = browser.session
    session["kept"] = "from before"
    session.save()
    before = session.session_key
    sign_in(browser, make_user(django_as).account_no)
    assert browser.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()


def test_signing_out_takes_a_post_and_ends_the_session(browser: Client, django_as: AsRole) -> None:
    sign_in(browser, make_user(django_as).account_no)
    assert browser.get("/sign-out/").status_code == 405
    assert browser.post("/sign-out/").status_code == 302
    assert browser.get("/test/role/").content.decode() == "portal_web  0"


def test_a_session_of_a_deactivated_user_speaks_for_nobody(browser: Client, django_as: AsRole) -> None:
    me = make_user(django_as)
    sign_in(browser, me.account_no)
    with django_as("owner"):
        User.objects.filter(pk=me.pk).update(is_active=False)
    assert browser.get("/test/role/").content.decode() == "portal_web  0"


def test_a_session_from_before_a_new_password_speaks_for_nobody(browser: Client, django_as: AsRole) -> None:
    me = make_user(django_as)
    sign_in(browser, me.account_no)
    with django_as("owner"):
        me.set_password("another long enough one")
        me.save(update_fields=["password"])
    assert browser.get("/test/role/").content.decode() == "portal_web  0"


def test_a_page_that_fails_leaves_nobody_behind(browser: Client, django_as: AsRole) -> None:
    sign_in(browser, make_user(django_as).account_no)
    browser.raise_request_exception = False
    assert browser.get("/test/fail/").status_code == 500
    assert current_role() == ("portal_web", "")


# --- too many tries


@pytest.fixture(autouse=True)
def few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standin, "ATTEMPTS", 3)


def test_after_some_tries_a_number_waits_from_that_address(browser: Client, django_as: AsRole) -> None:
    me = make_user(django_as)
    for _ in range(3):
        assert sign_in(browser, me.account_no, "wrong").status_code == 422
    answer = sign_in(browser, me.account_no)
    assert answer.status_code == 429
    assert "Too many tries." in answer.content.decode()
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert sign_in(elsewhere, me.account_no).status_code == 302


def test_a_number_that_nobody_has_waits_just_the_same(browser: Client) -> None:
    for _ in range(3):
        sign_in(browser, "nobody", "wrong")
    assert sign_in(browser, "nobody", "wrong").status_code == 429


def test_the_wait_ends_and_a_right_password_forgets_wrong_ones(
    browser: Client, django_as: AsRole, clock: Callable[[Any], None]
) -> None:
    from portal.core import clock as portal_clock  # noqa: PLC0415 - the fixture has its name

    me = make_user(django_as)
    for _ in range(3):
        sign_in(browser, me.account_no, "wrong")
    assert sign_in(browser, me.account_no).status_code == 429
    clock(portal_clock.now() + timedelta(minutes=15, seconds=1))
    assert sign_in(browser, me.account_no).status_code == 302
    for _ in range(2):
        assert sign_in(browser, me.account_no, "wrong").status_code == 422
    assert sign_in(browser, me.account_no).status_code == 302


def test_an_attempt_is_kept_without_what_was_typed(browser: Client, django_as: AsRole, owner_sql: RunSql) -> None:
    me = make_user(django_as)
    sign_in(browser, me.phone, "wrong")
    ((row,),) = owner_sql("SELECT accounts_signinattempt::text FROM accounts_signinattempt")
    assert me.phone not in row
    assert "127.0.0.1" not in row


# --- where to go afterwards


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/me/", "/me/"),
        ("/me/?tab=1", "/me/?tab=1"),
        ("/no-such-page/", "/"),
        ("//evil.example/me/", "/"),
        ("https://evil.example/me/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("me/", "/"),
        ("/sign-out/", "/"),
        ("/sign-in/", "/"),
    ],
)
def test_only_pages_of_this_site_are_gone_back_to(
    browser: Client, django_as: AsRole, target: str, expected: str
) -> None:
    assert sign_in(browser, make_user(django_as).account_no, next=target)["Location"] == expected


def test_a_page_that_needs_sign_in_is_come_back_to(browser: Client, django_as: AsRole) -> None:
    answer = browser.get("/test/mine/?a=1")
    assert answer["Location"] == "/sign-in/?next=/test/mine/%3Fa%3D1"
    page = browser.get(answer["Location"]).content.decode()
    assert 'name="next" value="/test/mine/?a=1"' in page


# --- staff


def test_staff_are_no_staff_before_the_second_factor(browser: Client, django_as: AsRole) -> None:
    staff, device = make_staff(django_as)
    make_user(django_as)
    answer = sign_in(browser, staff.account_no, next="/test/queue/")
    assert answer["Location"] == "/sign-in/code/?next=%2Ftest%2Fqueue%2F"
    assert browser.get("/test/role/").content.decode() == f"portal_web {staff.pk} 1"
    assert browser.get("/test/queue/")["Location"].startswith("/sign-in/code/")
    answer = give_code(browser, device, next="/test/queue/")
    assert answer["Location"] == "/test/queue/"
    assert browser.get("/test/queue/").content.decode() == f"portal_staff {staff.pk} 2"
    assert current_role() == ("portal_web", "")


def test_a_wrong_code_says_so_and_leaves_the_web_role(browser: Client, django_as: AsRole) -> None:
    staff, _device = make_staff(django_as)
    sign_in(browser, staff.account_no)
    for code in ("000000", "12345", "x", "１２３４５６"):
        answer = browser.post("/sign-in/code/", {"code": code})
        assert answer.status_code in {422, 429}
    assert browser.get("/test/role/").content.decode().startswith("portal_web")


def test_the_session_is_a_new_one_after_the_second_factor(browser: Client, django_as: AsRole) -> None:
    staff, device = make_staff(django_as)
    sign_in(browser, staff.account_no)
    before = browser.session.session_key
    give_code(browser, device)
    assert browser.session.session_key != before


def test_a_device_of_somebody_else_does_not_verify(browser: Client, django_as: AsRole) -> None:
    staff, _device = make_staff(django_as)
    _other, others_device = make_staff(django_as)
    sign_in(browser, staff.account_no)
    assert give_code(browser, others_device).status_code == 422


@pytest.mark.parametrize(
    ("role", "home"),
    [("support", "/desk/"), ("supervisor", "/desk/"), ("admin", "/console/"), ("auditor", "/console/")],
)
def test_each_role_lands_where_it_works(browser: Client, django_as: AsRole, role: str, home: str) -> None:
    staff, device = make_staff(django_as, role)
    sign_in(browser, staff.account_no)
    assert give_code(browser, device)["Location"] == home


def test_persons_are_asked_for_no_second_factor(browser: Client, django_as: AsRole) -> None:
    sign_in(browser, make_user(django_as).account_no)
    assert browser.get("/sign-in/code/")["Location"] == "/"


def test_signing_in_as_somebody_else_leaves_the_staff_role(browser: Client, django_as: AsRole) -> None:
    staff, device = make_staff(django_as)
    sign_in(browser, staff.account_no)
    give_code(browser, device)
    person = make_user(django_as)
    sign_in(browser, person.account_no)
    assert browser.get("/test/role/").content.decode() == f"portal_web {person.pk} 1"


def test_pages_are_for_those_whom_the_matrix_names(browser: Client, django_as: AsRole) -> None:
    staff, device = make_staff(django_as, "support")
    sign_in(browser, staff.account_no)
    give_code(browser, device)
    assert browser.get("/test/queue/").status_code == 200
    assert browser.get("/test/rules/").status_code == 403
    assert browser.get("/test/mine/").status_code == 403
    person = Client()
    sign_in(person, make_user(django_as).account_no)
    assert person.get("/test/mine/").status_code == 200
    assert person.get("/test/queue/").status_code == 403


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        ("subject", ""),
        ("support", "request.view request.claim request.decide"),
        ("supervisor", "request.view request.claim request.decide console.view"),
        ("admin", "request.view console.view console.edit"),
        ("auditor", "request.view console.view audit.view"),
    ],
)
def test_the_role_matrix(role: str, permissions: str) -> None:
    user = User(role=role)
    assert {name for name in PERMISSIONS if can(user, name)} == set(permissions.split())
    with pytest.raises(ValueError, match="fly"):
        can(user, "fly")
    assert not can(User(role=role, is_active=False), "request.view")


def test_what_is_confidential_is_for_those_it_was_opened_to() -> None:
    assert can(User(role="auditor", confidential=True), "confidential.view")
    assert not can(User(role="auditor"), "confidential.view")


# --- the pages themselves


def test_the_page_lists_the_demo_with_stories_in_demo_mode_only(browser: Client, settings: Settings) -> None:
    page = browser.get("/sign-in/").content.decode()
    assert "陈若兰" in page
    assert "works through the queue" in page
    settings.DEMO = False
    assert "陈若兰" not in browser.get("/sign-in/").content.decode()


def test_the_account_page_shows_everything_masked(browser: Client, django_as: AsRole) -> None:
    me = make_user(django_as, display_name="陈若兰", phone="19900002046", email="ruolan@mail.example")
    assert browser.get("/me/")["Location"] == "/sign-in/?next=%2Fme%2F"
    sign_in(browser, me.account_no)
    page = browser.get("/me/").content.decode()
    for shown in ("陈**", "199****2046", "r*****@mail.example"):
        assert shown in page
    for hidden in ("陈若兰", "19900002046", "ruolan@", me.account_no):
        assert hidden not in page


def test_the_language_is_kept_with_the_account(browser: Client, django_as: AsRole) -> None:
    me = make_user(django_as)
    sign_in(browser, me.account_no)
    assert 'lang="zh-Hans"' in browser.get("/me/").content.decode()
    answer = browser.post("/language/", {"language": "en", "next": "/me/"})
    assert answer["Location"] == "/me/"
    assert '<html lang="en"' in browser.get("/me/").content.decode()
    elsewhere = Client()
    sign_in(elsewhere, me.account_no)
    assert elsewhere.cookies[django_settings.LANGUAGE_COOKIE_NAME].value == "en"


@pytest.mark.parametrize("language", ["xx", "", "../en"])
def test_an_unknown_language_changes_nothing(browser: Client, language: str) -> None:
    answer = browser.post("/language/", {"language": language, "next": "https://evil.example/"})
    assert answer["Location"] == "/"
    assert django_settings.LANGUAGE_COOKIE_NAME not in answer.cookies


def test_forms_are_refused_without_their_token(django_as: AsRole) -> None:
    strict = Client(enforce_csrf_checks=True)
    me = make_user(django_as)
    assert sign_in(strict, me.account_no).status_code == 403
    assert strict.post("/language/", {"language": "en"}).status_code == 403


def test_the_password_never_comes_back(browser: Client, django_as: AsRole) -> None:
    page = sign_in(browser, make_user(django_as).account_no, "a-wrong-password").content.decode()
    assert "a-wrong-password" not in page
