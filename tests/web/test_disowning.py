"""What a person can stop who did not ask: at the other contact without signing in, and for a mandate they gave."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Authority
from portal.demo.accounts import DEMO_ACCOUNTS
from rights.kernel.states import State
from rights.models import Event, Notice
from rights.notices import render_notice
from tests.business import TODAY, Business
from tests.conftest import Clock
from tests.web.test_asking import Asking, AsRole, person, warm, warmed

__all__ = ["person", "warm", "warmed"]


@pytest.fixture
def chen(business: Business, django_as: AsRole) -> Asking:
    return Asking(business, django_as, "chen-ruolan")


def file_access(chen: Asking) -> str:
    """A filed request, and the link that its "was this you" carries."""
    chen.check(chen.start("access", scope="everything"))
    with chen.django_as("worker"):
        notice = Notice.objects.get(kind="was_this_you")
        assert notice.second_contact
        for language in ("zh-hans", "en"):
            _subject, body = render_notice(notice, language)
            assert notice.params["stop"] in body
    found = re.search(r"https?://[^/]+(/not-me/[^ ]+/)", body)
    assert found
    return found[1]


def test_whoever_holds_the_other_contact_stops_it_in_one_step_without_signing_in(chen: Asking) -> None:
    link, stranger = file_access(chen), Client()
    page = stranger.get(link)
    assert page.context["standing"] == "open"
    said = page.content.decode()
    assert chen.user.account_no not in said
    assert "查阅" not in said
    assert chen.request().state != State.CLOSED, "a program that looks at mail opens links"

    assert stranger.post(link)["Location"] == link
    assert chen.request().closing_key == "WITHDRAWN"
    assert stranger.get(link).context["standing"] == "stopped"
    assert stranger.post(link).status_code == 302
    with chen.django_as("worker"):
        (event,) = Event.objects.filter(kind="disowned")
        assert event.actor is None
        assert Notice.objects.filter(kind="withdrawn", user=chen.user).count() == 1
    assert "不是本人提交" in chen.get("request", chen.request().pk).content.decode()


def test_too_late_it_says_so_and_changes_nothing(chen: Asking) -> None:
    link = file_access(chen)
    with chen.django_as("owner"):
        request = chen.request()
        request.round, request.state = 1, State.ACTING
        request.save()
    assert Client().post(link).status_code == 302
    assert chen.request().state == State.ACTING
    page = Client().get(link)
    assert page.context["standing"] == "begun"
    assert reverse("rights:channels") in page.content.decode()


def test_a_link_that_is_not_whole_opens_nothing(chen: Asking) -> None:
    link = file_access(chen)
    token = link.split("/")[2]
    for wrong in (token[:-1], token.replace(":", ""), "A" + token[1:], "x:y", "%00", token.split(":")[0]):
        assert Client().get(f"/not-me/{wrong}/").status_code == 404, wrong
        assert Client().post(f"/not-me/{wrong}/").status_code == 404, wrong
    assert chen.request().state != State.CLOSED


def test_the_due_date_goes_into_ones_calendar_and_says_nothing_of_what_was_asked(chen: Asking, clock: Clock) -> None:
    chen.check(chen.start("access", scope="everything"))
    request = chen.request()
    assert reverse("rights:calendar_entry", args=[request.pk]) in chen.get("done", request.pk).content.decode()
    answer = chen.get("calendar_entry", request.pk)
    assert answer["Content-Type"].startswith("text/calendar")
    lines = answer.content.decode().split("\r\n")
    assert "DTSTART;VALUE=DATE:20261208" in lines  # filed on 2026-11-23, fifteen days, the first not counted
    assert "DTEND;VALUE=DATE:20261209" in lines
    assert all(len(line.encode()) <= 75 for line in lines)
    unfolded = answer.content.decode().replace("\r\n ", "")
    assert f"SUMMARY:{request.reference}：最迟今天 24:00 办完\r\n" in unfolded
    assert f"/requests/{request.pk}/\r\n" in unfolded
    other = Client()
    assert other.get(reverse("rights:calendar_entry", args=[request.pk])).status_code == 302
    chen.post("withdraw", request.pk)
    chen.get("calendar_entry", request.pk, status=404)


def test_a_mandate_is_ended_by_who_gave_it_and_a_guardians_authority_is_not(
    business: Business, django_as: AsRole
) -> None:
    principal, agent = Asking(business, django_as, "zheng-guodong"), Asking(business, django_as, "gao-wenbo")
    with django_as("owner"):
        mandate = Authority.objects.get(principal=principal.user, agent=agent.user)
        by_law = Authority.objects.filter(kind="guardian").select_related("principal")[0]
    end = reverse("accounts:end-mandate", args=[mandate.pk])
    assert end in principal.client.get(reverse("accounts:me")).content.decode()
    assert agent.client.post(end).status_code == 302
    with django_as("owner"):
        assert not Authority.objects.filter(pk=mandate.pk, revoked_at__isnull=False), "who holds it cannot end it so"
    assert Client().post(end).status_code == 302
    assert principal.client.get(end).status_code == 405

    for _again in range(2):
        assert principal.client.post(end)["Location"] == reverse("accounts:me")
    with django_as("owner"):
        mandate.refresh_from_db()
    assert mandate.revoked_at
    assert mandate.revoked_at - TODAY < timedelta(minutes=5)
    represented = agent.get("home").context["represented"]
    assert principal.user.masked_name not in {row.name for row in represented}

    end = reverse("accounts:end-mandate", args=[by_law.pk])
    with django_as("owner"):
        key = next(item.key for item in DEMO_ACCOUNTS if item.login == by_law.principal.account_no)
    child = Asking(business, django_as, key)
    assert end not in child.client.get(reverse("accounts:me")).content.decode()
    child.client.post(end)
    with django_as("owner"):
        by_law.refresh_from_db()
    assert by_law.revoked_at is None
