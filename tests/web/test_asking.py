"""A person asks: pages read as a browser gets them, over the demo's business systems on the day of the example."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from accounts.models import User
from portal.core import rls, systems
from portal.core.models import OutboxMessage
from portal.demo.people import make_id_number
from rights.connectors import registry
from rights.datamap import load_live_map
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from rights.models import Request
from rights.planning import Matter, make_plan
from rights.queries import active_rules
from rights.web.forms import clean_value, is_id_number
from tests.business import TODAY, Business

AsRole = Callable[[str], AbstractContextManager[None]]
Travel = Callable[[datetime], None]
DUE = date(2026, 12, 8)


class Asking:
    """A signed-in person's browser, without JavaScript, and what a test looks at beside it."""

    def __init__(self, business: Business, django_as: AsRole, key: str) -> None:
        self.business, self.django_as = business, django_as
        with django_as("owner"):
            found = User.objects.find_by("account_no", business.account(key).login)
        assert found is not None
        self.user = found
        self.client = Client()
        rls.acting_as(found.pk, staff=False)
        self.client.force_login(found, backend="accounts.standin.AccountBackend")
        rls.reset()

    def get(self, name: str, *args: object, status: int = 200, **query: str) -> Any:
        response = self.client.get(reverse(f"rights:{name}", args=args), query)
        assert response.status_code == status, response.content.decode()[:2000]
        return response

    def post(self, name: str, *args: object, status: int = 302, **data: Any) -> Any:
        response = self.client.post(reverse(f"rights:{name}", args=args), data)
        assert response.status_code == status, response.content.decode()[:2000]
        return response

    def start(self, kind: str, **data: Any) -> str:
        """A draft with these answers; its id."""
        return draft_of(self.post("start", kind, **data))

    def check(self, pk: str, **data: Any) -> Any:
        """Send the check page as it is shown."""
        form = self.get("check", pk).context["form"]
        return self.post("check", pk, seen=form["seen"].value(), **data)

    def code(self) -> str:
        with self.django_as("owner"):
            body = OutboxMessage.objects.filter(channel="sms").order_by("-created_at", "-pk")[0].body
        found = re.search(r"\d{6}", body)
        assert found
        return found[0]

    def requests(self) -> list[Request]:
        with self.django_as("owner"):
            return list(Request.objects.filter(subject=self.user).order_by("created_at"))

    def request(self) -> Request:
        (only,) = self.requests()
        return only


def draft_of(response: Any) -> str:
    found = re.search(r"/ask/([0-9a-f-]{36})/check/$", response["Location"])
    assert found, response["Location"]
    return found[1]


@pytest.fixture(scope="module")
def warmed() -> list[bool]:
    return []


@pytest.fixture(autouse=True)
def warm(business: Business, django_as: AsRole, warmed: list[bool]) -> None:
    """The first look into a system learns its tables; on a busy machine that takes longer than a page waits."""
    if not warmed:
        matter = Matter(kind=Kind.DELETION, identities=business.account("chen-ruolan").identities)
        with django_as("owner"):
            plan = make_plan(matter, data_map=load_live_map(), rules=active_rules(), now=TODAY, wait=60)
        assert plan.unknown == ()
        warmed.append(True)


@pytest.fixture
def person(business: Business, django_as: AsRole) -> Iterator[Callable[[str], Asking]]:
    yield lambda key: Asking(business, django_as, key)
    rls.reset()


@pytest.fixture
def chen(person: Callable[[str], Asking]) -> Asking:
    return person("chen-ruolan")


@pytest.fixture
def tang(person: Callable[[str], Asking]) -> Asking:
    return person("tang-jiayi")


@pytest.fixture
def silent_loan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The loan system cannot be reached."""
    monkeypatch.setenv("SYSTEM_LOAN_URL", "postgresql://127.0.0.1:1/none?connect_timeout=1")
    forget_addresses()
    yield
    monkeypatch.undo()
    forget_addresses()


def forget_addresses() -> None:
    for module in (registry, systems):
        for value in vars(module).values():
            if clear := getattr(value, "cache_clear", None):
                clear()


# ---- home and the plan ---------------------------------------------------------------------------------------------


def test_home_shows_who_holds_what(chen: Asking) -> None:
    page = chen.get("home").context
    assert page["answer"]["all"] == 7
    assert page["answer"]["held"] == 4
    assert page["answer"]["unknown"] == 0
    companies = {company.key: company for company in page["companies"]}
    assert companies["insurance"].kinds == ()
    assert sum(company.count for company in companies.values()) == page["answer"]["records"]
    loan = {kind.label: kind for kind in companies["loan"].kinds}
    assert loan["借款合同"].fate is Fate.BLOCKED
    assert loan["还款记录"].last_year == 2031
    assert page["running"] == []


def test_home_of_somebody_about_whom_nothing_is_held(person: Callable[[str], Asking]) -> None:
    page = person("xu-anran").get("home").context
    assert (page["answer"]["held"], page["answer"]["records"]) == (0, 0)


def test_a_company_says_of_each_kind_why_from_where_to_whom_and_until_when(chen: Asking) -> None:
    """What the worked example says of the loan company, and what its data map states of it."""
    links = {company.key: company.url for company in chen.get("home").context["companies"]}
    assert (links["loan"], links["insurance"]) == ("/companies/loan/", "")
    shown = chen.client.get(links["loan"])
    kinds = {kind.name: kind for kind in shown.context["kinds"]}
    assert {name: kind.count for name, kind in kinds.items()} == {
        "借款合同": 2, "还款记录": 30, "贷款客户资料": 1, "联系人": 3, "贷款核验的人脸": 1,
    }  # fmt: skip
    going, held = sorted(kinds["还款记录"].endings, key=lambda ending: ending.count)
    assert (going.fate, going.count, held.fate, held.count) == (Fate.ERASE, 6, Fate.HOLD, 24)
    assert held.text == "依法保留，2026-12-06 至 2031-11-06 逐条删除"
    assert "反洗钱法" in held.law
    assert [ending.text for ending in kinds["借款合同"].endings] == ["要先等这件事：还有贷款未还清"]
    assert kinds["贷款核验的人脸"].sensitive
    assert "央行征信" in shown.content.decode()
    assert chen.client.get("/companies/nobody/").status_code == 404


def test_from_each_kind_the_right_that_applies_is_one_tap_away(chen: Asking) -> None:
    found = {}
    for company in ("platform", "loan", "wealth", "wallet"):
        for kind in chen.get("company", company).context["kinds"]:
            found[kind.name] = {right.value for right, _url in kind.rights}
            for _right, url in kind.rights:
                assert chen.client.get(url).status_code == 200, url
    assert found["浏览和使用记录"] == {"access", "withdrawal", "deletion"}
    assert found["帐号资料"] == {"access", "correction", "cancellation"}
    assert found["还款记录"] == {"access", "deletion"}
    assert found["贷款客户资料"] == {"access", "correction", "withdrawal", "deletion"}


def test_a_company_that_holds_nothing_and_one_that_does_not_answer_are_told_apart(
    chen: Asking, request: pytest.FixtureRequest
) -> None:
    assert "它没有你的信息。" in chen.get("company", "insurance").content.decode()
    request.getfixturevalue("silent_loan")
    page = chen.get("company", "loan")
    assert page.context["unknown"] == ["贷款系统"]
    assert "它没有你的信息。" not in page.content.decode()


@pytest.mark.usefixtures("silent_loan")
def test_a_silent_system_is_unknown_and_hinders_nothing(chen: Asking) -> None:
    page = chen.get("home").context
    assert page["answer"]["unknown"] == 1
    assert {company.key for company in page["companies"] if company.state == "unreachable"} == {"loan"}
    assert chen.get("plan", "deletion").context["plan"].unknown == ("贷款系统",)
    chen.start("deletion", scope="everything")


def test_the_plan_adds_up_and_says_what_is_in_the_way(chen: Asking) -> None:
    shown = chen.get("plan", "deletion")
    plan = shown.context["plan"]
    assert shown.context["due"] == DUE
    assert plan.total == plan.going.count + plan.waiting.count + plan.person.count + plan.kept.count + plan.in_use.count
    (loan,) = plan.waiting.lines
    assert loan.facts == (("还有贷款未还清", "L2 · ¥4,260.00"),)
    assert (loan.fix_url, loan.fix_label) == ("/systems/", "去还款")
    assert plan.last_release == date(2031, 11, 5)
    assert "去还款" in shown.content.decode()


def test_the_plan_of_one_company_leads_to_a_request_for_it_alone(chen: Asking) -> None:
    page = chen.get("plan", "deletion", company="wallet").context
    assert {line.company for line in page["plan"].going.lines} == {"钱包和支付"}
    response = chen.client.post(page["form_url"], {"scope": "everything"})
    chen.get("check", draft_of(response))
    assert chen.request().details == {"entities": ["wallet"]}


@pytest.mark.parametrize("kind", ["access", "correction", "deletion", "withdrawal", "cancellation"])
def test_every_right_is_explained_with_its_date(chen: Asking, kind: str) -> None:
    page = chen.get("right", kind)
    assert page.context["due"] == DUE
    assert chen.client.get(page.context["start_url"]).status_code == 200


def test_there_are_five_rights(chen: Asking) -> None:
    assert chen.client.get("/rights/everything/").status_code == 404
    assert chen.get("plan", "access", status=302)["Location"].endswith("/rights/access/")


# ---- deletion, from the form to the receipt ------------------------------------------------------------------------


def test_a_deletion_is_sent_with_a_code(chen: Asking) -> None:
    pk = chen.start("deletion", scope="chosen", companies=["wallet", "platform"])
    check = chen.get("check", pk)
    assert check.context["stepup"]
    assert "法律要求保密的信息不在其中" in check.content.decode()
    chen.post("check", pk, seen=check.context["form"]["seen"].value(), status=422)
    assert chen.check(pk, understood="on")["Location"] == reverse("rights:stepup", args=[pk])
    wrong = "000000" if chen.code() != "000000" else "000001"
    failed = chen.post("stepup", pk, code=wrong, status=422)
    assert "4" in failed.context["kept"]
    assert chen.request().state == State.DRAFT
    assert chen.post("stepup", pk, code=chen.code())["Location"] == reverse("rights:done", args=[pk])

    done = chen.get("done", pk)
    filed = chen.request()
    assert (filed.state, filed.details) == (State.CHECKING, {"entities": ["platform", "wallet"]})
    assert filed.reference is not None
    assert filed.reference in done.content.decode()
    assert done.context["case"].due == DUE
    assert "2026 年 12 月 8 日" in done.content.decode()
    assert chen.get("home").context["running"][0].ref == filed.reference


def test_sending_twice_sends_once(chen: Asking) -> None:
    pk = chen.start("deletion", scope="everything")
    chen.check(pk, understood="on")
    code = chen.code()
    for _tap in range(2):
        assert chen.post("stepup", pk, code=code)["Location"] == reverse("rights:done", args=[pk])
    for page in ("form", "check", "stepup"):
        assert chen.get(page, pk, status=302)["Location"] == reverse("rights:done", args=[pk])
    assert chen.post("check", pk)["Location"] == reverse("rights:done", args=[pk])
    assert chen.post("resend", pk)["Location"] == reverse("rights:done", args=[pk])
    assert chen.request().state == State.CHECKING


def test_two_taps_on_the_form_make_one_draft(chen: Asking) -> None:
    assert chen.start("deletion", scope="everything") == chen.start("deletion", scope="everything")
    chen.start("deletion", scope="chosen", companies=["wallet"])
    assert len(chen.requests()) == 2


def test_answers_can_be_changed_and_come_back(chen: Asking) -> None:
    pk = chen.start("deletion", scope="chosen", companies=["wallet"])
    form = chen.get("form", pk).context
    assert [company["value"] for company in form["companies"] if company["checked"]] == ["wallet"]
    chen.post("form", pk, scope="everything", status=302)
    assert chen.request().details == {"entities": []}


@pytest.mark.parametrize(
    "data", [{}, {"scope": "chosen"}, {"scope": "chosen", "companies": ["nowhere"]}, {"scope": "other"}]
)
def test_a_form_that_is_not_complete_keeps_nothing(chen: Asking, data: dict[str, Any]) -> None:
    assert chen.post("start", "deletion", status=422, **data).context["form"].errors
    assert chen.requests() == []


def test_what_was_changed_meanwhile_has_to_be_checked_again(chen: Asking) -> None:
    pk = chen.start("deletion", scope="chosen", companies=["wallet"])
    seen = chen.get("check", pk).context["form"]["seen"].value()
    chen.post("form", pk, scope="everything")
    again = chen.post("check", pk, seen=seen, understood="on")
    assert again["Location"] == reverse("rights:check", args=[pk])
    chen.check(pk, understood="on")
    chen.post("form", pk, scope="chosen", companies=["loan"])
    assert chen.post("stepup", pk, code=chen.code())["Location"] == reverse("rights:check", args=[pk])
    assert chen.request().state == State.DRAFT


def test_the_code_page_needs_the_check(chen: Asking) -> None:
    pk = chen.start("deletion", scope="everything")
    assert chen.get("stepup", pk, status=302)["Location"] == reverse("rights:check", args=[pk])
    assert chen.post("resend", pk)["Location"] == reverse("rights:check", args=[pk])


def test_a_code_that_ran_out_says_so_and_another_is_sent(chen: Asking, clock: Travel) -> None:
    pk = chen.start("deletion", scope="everything")
    chen.check(pk, understood="on")
    old = chen.code()
    clock(TODAY + timedelta(minutes=6))
    assert chen.post("stepup", pk, code=old, status=422).context["form"].errors["code"]
    chen.post("resend", pk)
    assert chen.post("stepup", pk, code=chen.code())["Location"] == reverse("rights:done", args=[pk])


def test_codes_are_throttled_and_the_page_says_until_when(chen: Asking) -> None:
    pk = chen.start("deletion", scope="everything")
    chen.check(pk, understood="on")
    for _time in range(5):
        chen.post("resend", pk)
    page = chen.get("stepup", pk)
    assert any("09:15" in str(message) for message in page.context["messages"])


def test_no_tries_are_left_after_five(chen: Asking) -> None:
    pk = chen.start("deletion", scope="everything")
    chen.check(pk, understood="on")
    code = chen.code()
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for _time in range(5):
        chen.post("stepup", pk, code=wrong, status=422)
    chen.post("stepup", pk, code=code, status=422)
    assert chen.request().state == State.DRAFT


@pytest.mark.parametrize("page", ["form", "check", "stepup", "done"])
def test_another_persons_request_does_not_exist(chen: Asking, person: Callable[[str], Asking], page: str) -> None:
    pk = chen.start("deletion", scope="everything")
    person("song-lihua").get(page, pk, status=404)
    if page != "done":
        person("song-lihua").post(page, pk, status=404, scope="everything")


def test_nobody_asks_without_signing_in(chen: Asking) -> None:
    response = Client().get(reverse("rights:start", args=["deletion"]))
    assert response.status_code == 302
    assert "/sign-in/" in response["Location"]


# ---- access --------------------------------------------------------------------------------------------------------


def test_access_needs_no_code(chen: Asking) -> None:
    pk = chen.start("access", scope="everything")
    assert chen.check(pk)["Location"] == reverse("rights:done", args=[pk])
    assert chen.request().state == State.CHECKING
    assert chen.get("done", pk).context["case"].due == DUE


# ---- correction ----------------------------------------------------------------------------------------------------


def field_of(page: Any, correction: str) -> str:
    names: list[str] = list(page.context["form"].fields)
    return next(name for name in names if name.startswith(f"{correction}-"))


def test_a_phone_number_is_corrected_wherever_it_stands(tang: Asking) -> None:
    page = tang.get("start", "correction")
    name = field_of(page, "phone")
    item = next(item for item in page.context["items"] if item["field"].name == name)
    assert item["present"] == tang.user.masked_phone
    assert "平台帐号" in item["places"]
    assert not item["evidence"]
    pk = tang.start("correction", **{name: "+86 199-0000-1234"})
    details = tang.request().details
    assert details == {"items": [{"correction": "phone", "old": tang.user.phone, "new": "19900001234"}]}
    assert tang.user.phone not in tang.get("check", pk).content.decode()
    assert tang.check(pk)["Location"] == reverse("rights:done", args=[pk])


def test_a_name_is_said_to_need_a_proof(tang: Asking) -> None:
    page = tang.get("start", "correction")
    name = field_of(page, "name")
    assert next(item for item in page.context["items"] if item["field"].name == name)["evidence"]
    pk = tang.start("correction", **{name: "唐佳艺"})
    assert len(tang.get("check", pk).context["after"]) == 3


def test_a_correction_has_to_correct_something(tang: Asking) -> None:
    name = field_of(tang.get("start", "correction"), "phone")
    for value in ("", "12345", tang.user.phone, "1" * 300):
        assert tang.post("start", "correction", status=422, **{name: value}).context["form"].errors
    assert tang.requests() == []


def test_values_are_checked_by_their_kind() -> None:
    good = make_id_number(birth=date(1990, 3, 7), number=42, gender="女")
    assert is_id_number(good)
    assert not is_id_number(good[:-1] + ("0" if good[-1] != "0" else "1"))
    assert not is_id_number(good[:10] + "1332" + good[14:])
    assert clean_value("id_number", f" {good[:6]} {good[6:]} ") == good
    assert clean_value("email", " a@example.com ") == "a@example.com"
    for kind, wrong in (("email", "nobody"), ("name", "A1"), ("address", "x"), ("id_number", "1"), ("phone", "2")):
        with pytest.raises(ValidationError):
            clean_value(kind, wrong)


# ---- withdrawal ----------------------------------------------------------------------------------------------------


def test_each_purpose_says_its_consequence(tang: Asking) -> None:
    purposes = {item["value"]: item for item in tang.get("start", "withdrawal").context["purposes"]}
    assert purposes["marketing_sms"]["immediate"]
    assert purposes["face"]["consequence"].startswith("人脸信息会删除")
    assert purposes["sharing_duiba"]["recipients"] == "兑吧"
    assert "门卡" in purposes["fingerprint"]["erases"]
    assert not any(item["checked"] for item in purposes.values())


def test_a_withdrawal_is_as_easy_as_that(tang: Asking) -> None:
    pk = tang.start("withdrawal", purposes=["face", "marketing_sms"])
    assert "understood" not in tang.get("check", pk).context["form"].fields
    assert tang.check(pk)["Location"] == reverse("rights:done", args=[pk])
    assert tang.request().details == {"purposes": ["marketing_sms", "face"]}


def test_a_consent_never_given_cannot_be_withdrawn(chen: Asking) -> None:
    chen.post("start", "withdrawal", status=422, purposes=["marketing_sms"])
    chen.post("start", "withdrawal", status=422)


# ---- cancellation --------------------------------------------------------------------------------------------------


def test_one_service_is_cancelled_alone_and_points_are_given_up_expressly(tang: Asking) -> None:
    page = tang.get("start", "cancellation").context
    services = {item["value"]: item for item in page["services"]}
    assert set(services) == {"platform", "insurance", "wallet", "mutualaid"}
    assert "保单" in services["insurance"]["blockers"]
    (forfeit,) = page["forfeits"]
    assert "860" in forfeit["label"]
    tang.post("start", "cancellation", status=422, service="platform")
    pk = tang.start("cancellation", service="platform", forfeits=["FORFEIT.POINTS"])
    assert tang.request().details == {"entities": ["platform"], "forfeits": ["FORFEIT.POINTS"]}
    assert [answer["value"] for answer in tang.get("check", pk).context["answers"][:2]] == [
        "平台帐号",
        forfeit["label"],
    ]


def test_a_blocker_elsewhere_does_not_hinder_one_service(tang: Asking) -> None:
    pk = tang.start("cancellation", service="mutualaid", forfeits=["FORFEIT.POINTS"])
    assert tang.request().details == {"entities": ["mutualaid"], "forfeits": []}
    tang.check(pk, understood="on")
    tang.post("stepup", pk, code=tang.code())
    assert not tang.get("done", pk).context["case"].deferred


def test_all_services_wait_for_the_loan_and_say_so(chen: Asking) -> None:
    plan = chen.get("plan", "cancellation").context["plan"]
    assert any(line.fix_url for line in plan.waiting.lines)
    pk = chen.start("cancellation", service="all")
    chen.check(pk, understood="on")
    chen.post("stepup", pk, code=chen.code())
    done = chen.get("done", pk)
    assert done.context["case"].deferred
    assert "还有贷款未还清" in done.content.decode()
    assert len(chen.request().details["entities"]) == 7


def test_nothing_to_cancel(person: Callable[[str], Asking]) -> None:
    someone = person("xu-anran")
    assert someone.get("plan", "cancellation").context["plan"] is None
    assert someone.get("start", "cancellation").context["services"] == []
    assert someone.get("start", "withdrawal").context["purposes"] == []
    assert someone.get("start", "correction").context["items"] == []


def test_pages_are_written_in_english_too(chen: Asking) -> None:
    chen.client.cookies["language"] = "en"
    plan = chen.get("plan", "deletion").content.decode()
    assert "A loan is not repaid" in plan
    assert "Can be deleted now" in plan
    assert not re.search(r"[\u4e00-\u9fff]", re.sub(r"<[^>]*>|中文|陈\*\*", "", _without_laws(plan)))


def _without_laws(page: str) -> str:
    """Citations are of Chinese statutes and stay as they are."""
    return re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
