"""Every page of the portal in every state that a page tells apart: one list for the pictures, the accessibility check,
the weight and the queries. An address without a row, and not named as no page, fails `tests/web/test_pages.py`."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core import signing
from django.http import HttpResponse, HttpResponseBase
from django.template import loader
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse
from lxml import html

from accounts import totp
from accounts.models import User
from portal.core import clock
from rights.actions import fees, fulfil, gates, packages, review, submit, watch
from rights.actions.appeals import claim_appeal, decide_appeal, file_appeal
from rights.actions.disowning import stop_link
from rights.actions.thread import Handed, post_message
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from rights.models import Gate, Handover, Notice, Package, Receipt, Request
from rights.receipts import HOLD
from rights.web.packages import HANDOVER
from tests.business import TODAY, Business
from tests.conftest import Clock
from tests.stack import Stack, django_as
from tests.waiting import wait_until

NOBODY = ""
CHEN, AGENT, FORMER, PRINCIPAL = "chen-ruolan", "gao-wenbo", "song-lihua", "zheng-guodong"
STAFF, SUPERVISOR, AUDITOR = "support-zhao", "supervisor-sun", "auditor-wu"
FEES = {"chen-ruolan": "quoted", "zhou-mingyuan": "accepted", "lin-xiaoyun": "waived", "luo-zihan": "declined"}
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True)
class Row:
    """One page: who reads it (an account of the demo), what it is called, its address with the names of what was made.

    `send`: what is typed into the form of its main part that has these fields, which is then sent; the page is what
    comes of that. `ticked`: boxes of that form.
    """

    who: str
    name: str
    address: str
    send: Mapping[str, str] | None = None
    ticked: tuple[str, ...] = ()
    quick: bool = field(default=False, kw_only=True)


ROWS = (
    # for everybody
    Row(NOBODY, "sign-in", "/sign-in/", quick=True),
    Row(NOBODY, "sign-in-wrong", "/sign-in/", {"login": "880001", "password": "wrong"}),
    Row(NOBODY, "sign-in-code", "/sign-in/", {"login": "{staff}", "password": "demo-portal"}),
    Row(NOBODY, "status", "/status/"),
    Row(NOBODY, "status-wrong", "/status/", {"secret": "22222-22222-22222-22222-22222"}),
    Row(NOBODY, "verify", "/verify/"),
    Row(NOBODY, "complaints", "/complaints/"),
    Row(NOBODY, "received", "{received}"),
    Row(NOBODY, "received-wrong", "{received}", {"secret": "22222 22222 22"}),
    Row(NOBODY, "disown", "{disown}"),
    Row(NOBODY, "outbox", "/outbox/"),
    Row(NOBODY, "styleguide", "/styleguide/", quick=True),
    Row(NOBODY, "not-found", "/nothing/"),
    Row(NOBODY, "too-old-a-form", "403_csrf.html"),
    Row(NOBODY, "failed", "500.html"),
    # a person: what is held, what may be asked
    Row(CHEN, "home", "/", quick=True),
    *(Row(CHEN, f"company-{key}", f"/companies/{key}/", quick=key == "loan")
      for key in ("loan", "wallet", "insurance")),
    Row(CHEN, "me", "/me/"),
    Row(PRINCIPAL, "me-principal", "/me/"),
    Row(CHEN, "demo-systems", "/systems/"),
    *(Row(CHEN, f"right-{kind}", f"/rights/{kind}/", quick=kind == "deletion") for kind in Kind),
    Row(CHEN, "plan-deletion", "/rights/deletion/plan/", quick=True),
    Row(CHEN, "plan-cancellation", "/rights/cancellation/plan/"),
    Row(CHEN, "plan-one-company", "/rights/deletion/plan/?company=wallet"),
    *(Row(CHEN, f"form-{kind}", f"/rights/{kind}/start/", quick=kind == "correction") for kind in Kind),
    Row(CHEN, "form-wrong", "/rights/withdrawal/start/", {}),
    Row(CHEN, "forbidden", "/desk/"),
    Row(CHEN, "form-of-draft", "/ask/{draft}/"),
    Row(CHEN, "check", "/ask/{draft}/check/", quick=True),
    Row(CHEN, "check-wrong", "/ask/{draft}/check/", {}),
    Row(CHEN, "check-access", "/ask/{draft-access}/check/"),
    Row(CHEN, "check-cancellation", "/ask/{draft-cancellation}/check/"),
    Row(CHEN, "code", "/ask/{draft}/check/", {}, ("understood",), quick=True),
    Row(CHEN, "consents", "/consents/", quick=True),
    Row("tang-jiayi", "consents-all", "/consents/"),
    Row("tang-jiayi", "consent-end", "/consents/confirm/?purpose=face&to=end"),
    Row("tang-jiayi", "consent-sharing", "/consents/sharing/"),
    Row(CHEN, "permissions", "/consents/permissions/"),
    Row(CHEN, "policies", "/consents/policies/"),
    Row(CHEN, "requests", "/requests/", quick=True),
    Row(CHEN, "notices", "/notices/"),
    Row(CHEN, "notice", "/notices/{notice}/"),
    Row("lin-xiaoyun", "what-is-held", "/held/"),
    Row(CHEN, "nothing-held", "/held/"),
    Row(CHEN, "not-found-signed-in", "/nothing/"),
    Row(AGENT, "home-agent", "/"),
    Row(AGENT, "me-agent", "/me/"),
    Row(FORMER, "home-former", "/"),
    Row(AGENT, "requests-agent", "/requests/"),
    Row(FORMER, "notices-former", "/notices/"),
    Row(AGENT, "for-other", "/for/{principal}/"),
    Row(AGENT, "no-authority", "/rights/deletion/?for={principal}"),
    # what was asked for, in every state
    *(Row(who, name, f"/requests/{{{name}}}/", quick=name == "asked") for name, who in {
        "unproved": AGENT, "unproved-lapsed": AGENT, "unproved-taken-back": AGENT, "fee-lapsed": "he-jianwei",
        **{f"fee-{state}": key for key, state in FEES.items()}, "repeat": "han-zhiqiang", "asked": "xie-yutong",
        "refused": "feng-siqi", "review": "tang-jiayi", "deferred": "zhou-mingyuan", "extended": "chen-jianguo",
        "erased": FORMER, "held": "lin-xiaoyun", "halted": "luo-zihan", "withdrawn": "tang-jiayi",
    }.items()),
    Row(FORMER, "unproved-of-me", "/requests/{unproved}/"),
    Row("feng-siqi", "appeal", "/requests/{refused}/appeal/"),
    Row("feng-siqi", "appeal-wrong", "/requests/{refused}/appeal/", {"reason": ""}),
    Row("zhou-mingyuan", "appealed", "/requests/{appealed}/"),
    Row("xie-yutong", "upheld", "/requests/{upheld}/"),
    Row("xie-yutong", "asked-wrong", "/requests/{asked}/", {"answer": ""}),
    Row("tang-jiayi", "submitted", "/requests/{review}/received/", quick=True),
    Row(FORMER, "erased-receipt", "/requests/{erased}/receipt/"),
    Row("lin-xiaoyun", "held-receipt", "/requests/{held}/receipt/"),
    Row("lin-xiaoyun", "signed-receipt", "/requests/{held}/receipts/{receipt}/"),
    Row("tang-jiayi", "package", "/requests/{portable}/package/"),
    Row("tang-jiayi", "package-code", "/requests/{portable}/package/download/"),
    Row("tang-jiayi", "handover", "/requests/{portable}/handover/"),
    # the desk
    Row(STAFF, "desk", "/desk/", quick=True),
    *(Row(STAFF, f"desk-{view}", f"/desk/?view={view}")
      for view in ("waiting", "unproved", "closed", "messages", "appeals")),
    *(Row(STAFF, f"case-{name}", f"/desk/cases/{{{name}}}/", quick=name == "review") for name in (
        "unproved", "unproved-lapsed", "fee-quoted", "fee-declined", "repeat", "asked", "refused", "review", "deferred",
        "extended", "erased", "held", "halted",
    )),
    Row(STAFF, "tasks", "/desk/tasks/"),
    Row(STAFF, "task", "/desk/tasks/{task}/"),
    Row(STAFF, "support-systems", "/desk/systems/"),
    Row(STAFF, "stop-one", "/desk/systems/wallet/stop/"),
    Row(SUPERVISOR, "supervisor-systems", "/desk/systems/"),
    Row(SUPERVISOR, "resume-one", "/desk/systems/loan/resume/"),
    Row(SUPERVISOR, "supervisor-case", "/desk/cases/{halted}/"),
    Row(SUPERVISOR, "case-appealed", "/desk/cases/{appealed}/"),
    Row(SUPERVISOR, "case-upheld", "/desk/cases/{upheld}/"),
    Row(AUDITOR, "auditor-systems", "/desk/systems/"),
    Row(STAFF, "me-staff", "/me/"),
)  # fmt: skip

NO_PAGE = frozenset({
    "livez", "readyz",
    # answered to a POST alone, by another page
    "accounts:sign-out", "accounts:language", "demo:clock", "desk:search", "desk:claim", "desk:release", "desk:decide",
    "desk:undo", "desk:quote_fee", "desk:waive_fee", "desk:confirm_proof", "desk:revoke_package", "desk:retry",
    "desk:task_claim", "desk:task_release", "desk:task_told", "desk:task_done", "desk:task_return",
    "desk:task_take_back", "desk:task_again", "desk:task_evidence", "rights:file_unproved", "rights:resend",
    "rights:withdraw", "rights:answer", "rights:fee", "rights:package_revoke", "rights:receipt_secret",
    "rights:display", "accounts:end-mandate", "desk:message", "desk:settle", "desk:relation", "desk:appeal_claim",
    "desk:appeal_release", "desk:appeal_decide", "rights:message", "rights:consent_end", "rights:consent_give",
    "rights:consent_answer",
    # files
    "desk:evidence", "rights:package_file", "rights:received_file", "rights:receipt_file", "rights:verify_script",
    "rights:head", "rights:extension", "rights:keys", "rights:gpc", "rights:calendar_entry", "rights:attachment",
    "desk:attachment",
    # pages that only a form leads to: rows with `send` show them
    "accounts:totp", "rights:stepup",
})  # fmt: skip


def named_addresses(resolver: URLResolver | None = None, space: str = "") -> Iterator[str]:
    """The names of all addresses but the API's, which has a description of its own."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            if str(entry.pattern) != "api/v1/":
                yield from named_addresses(entry, entry.namespace or space)
        elif isinstance(entry, URLPattern):
            yield f"{space}:{entry.name}" if space else str(entry.name)


def shown_addresses() -> set[str]:
    """The names of the addresses that rows show."""
    paths = {re.sub(r"\{[^}]+\}", "00000000-0000-4000-8000-000000000000", row.address).split("?")[0] for row in ROWS}
    made = {path.replace("/notices/00000000-0000-4000-8000-000000000000/", "/notices/1/") for path in paths}
    return {resolve(path).view_name for path in made if path.startswith("/") and path != "/nothing/"} | {
        "rights:received",
        "rights:disown",
    }


class States:
    """Requests of the demo's people in every state, made by the same actions that the pages call. What a worker would
    do is done here, also where one runs beside."""

    def __init__(self, business: Business, stack: Stack, travel: Clock) -> None:
        self.business, self.stack, self.travel = business, stack, travel

    def make(self) -> dict[str, str]:
        """What stands in the addresses of rows, by name."""
        made: dict[str, Request] = {}
        self.travel(TODAY - 31 * DAY)
        made["unproved-lapsed"] = self.file(AGENT, Kind.DELETION, about=PRINCIPAL)
        made["fee-lapsed"] = self.quote("he-jianwei")
        self.travel(TODAY - 8 * DAY)
        made["unproved"] = self.file(AGENT, Kind.DELETION, about=FORMER)
        self.travel(TODAY)
        self.wait(State.CLOSED, made["unproved-lapsed"], made["fee-lapsed"])
        staff = self.user(STAFF)
        for key, name in FEES.items():
            made[f"fee-{name}"] = self.quote(key)
        made["repeat"] = self.ask_again("han-zhiqiang")
        made["unproved-taken-back"] = self.file(AGENT, Kind.ACCESS, about=FORMER)
        made["asked"] = self.file("xie-yutong", Kind.DELETION)
        made["refused"] = self.file("feng-siqi", Kind.DELETION)
        made["review"] = self.file("tang-jiayi", Kind.DELETION)
        made["deferred"] = self.file("zhou-mingyuan", Kind.CANCELLATION, entities=["loan"])
        made["extended"] = self.file("chen-jianguo", Kind.DELETION)
        made["erased"] = self.approve(FORMER)
        made["held"] = self.approve("lin-xiaoyun")
        of, now = made, clock.now()
        with django_as(self.stack, "worker"):
            fees.accept_fee(of["fee-accepted"], actor=self.user("zhou-mingyuan"), now=now)
            fees.waive_fee(of["fee-waived"], reviewer=staff, now=now)
            fees.decline_fee(of["fee-declined"], actor=self.user("luo-zihan"), now=now)
            submit.take_back(of["unproved-taken-back"], actor=self.user(AGENT), now=now)
            review.ask(of["asked"], reviewer=staff, text="请写明是哪一份订单，写订单号。", missing=True, now=now)
            review.refuse(
                of["refused"], reviewer=staff, key="GROUND.ANTI_FRAUD", text="正在核查，现在删除会妨碍。", now=now
            )
            review.extend(of["extended"], reviewer=staff, reason="七家公司都要人工核对，数量大。", now=now)
        self.wait(State.CLOSED, *(of[name] for name in ("fee-accepted", "fee-waived", "erased", "held")))
        made["withdrawn"] = self.file("tang-jiayi", Kind.WITHDRAWAL, purposes=["sharing_duiba"])
        made["portable"] = self.file("tang-jiayi", Kind.ACCESS, portable=True)
        self.wait(State.CLOSED, made["portable"])
        made["appealed"], made["upheld"] = self.appeal("zhou-mingyuan"), self.appeal("xie-yutong", outcome="upheld")
        self.write(made["review"])
        made |= self.draft()
        self.stop_systems()
        made["halted"] = self.approve("luo-zihan")
        self.until(lambda: self.is_halted(made["halted"]), what=lambda: "no step was stopped")
        return {name: str(request.pk) for name, request in made.items()} | self.beside(made)

    def make_few(self) -> dict[str, str]:
        """What the quick rows need."""
        made = {"review": self.file("tang-jiayi", Kind.DELETION)} | self.draft()
        made["asked"] = self.file("xie-yutong", Kind.DELETION)
        with django_as(self.stack, "worker"):
            review.ask(made["asked"], reviewer=self.user(STAFF), text="请写明订单号。", missing=True, now=clock.now())
        return {name: str(request.pk) for name, request in made.items()}

    def appeal(self, key: str, *, outcome: str = "") -> Request:
        """Refused, and appealed against; with an outcome, decided by somebody else."""
        item, now, other = self.file(key, Kind.DELETION, entities=["platform"]), clock.now(), self.user(SUPERVISOR)
        ground, text = "GROUND.ANTI_FRAUD", "已重新核对全部材料。"
        with django_as(self.stack, "worker"):
            review.refuse(item, reviewer=self.user(STAFF), key=ground, text="正在核查，现在删除会妨碍。", now=now)
            item = self.again(item)
            appeal = file_appeal(item, actor=item.subject, reason="核查上周已经结束了，有通知。", now=now)
            if outcome:
                claim_appeal(appeal, reviewer=other, now=now)
                decide_appeal(appeal, reviewer=other, outcome=outcome, key=ground, text=text, now=now)
        return item

    def write(self, item: Request) -> None:
        """A thread with a file, whose last word is the person's."""
        letter = Handed("合同第 2 页扫描件，2024 年 3 月签订，含补充协议和附件清单.pdf", b"%PDF-1.7 a contract")
        now, person = clock.now(), item.subject
        with django_as(self.stack, "worker"):
            text = "附上借款合同。\n请看第二页。"
            post_message(item, author=person, text=text, files=[letter], once=uuid4(), now=now)
            text = "收到，我们在核对。"
            post_message(item, author=self.user(STAFF), text=text, once=uuid4(), seen=1, now=now + HOUR)
            post_message(item, author=person, text="谢谢。还需要别的吗？", once=uuid4(), now=now + 2 * HOUR)

    def draft(self) -> dict[str, Request]:
        """Answers that were not sent yet."""
        person, now = self.user(CHEN), clock.now()
        asked: dict[str, tuple[Kind, list[str]]] = {
            "draft": (Kind.DELETION, []), "draft-access": (Kind.ACCESS, []),
            "draft-cancellation": (Kind.CANCELLATION, ["wallet"]),
        }  # fmt: skip
        with django_as(self.stack, "worker"):
            return {
                name: submit.start_draft(
                    subject=person, filed_by=person, kind=kind, details={"entities": entities}, now=now
                )
                for name, (kind, entities) in asked.items()
            }

    def stop_systems(self) -> None:
        """Systems in every state that the desk tells apart."""
        now = clock.now()
        with django_as(self.stack, "worker"):
            gates.stop_erasures(
                system=Gate.EVERY, reason="昨夜的备份没有完成，核对之前不删除。", by=self.user(SUPERVISOR), now=now
            )
            gates.stop_erasures(system="loan", reason="贷款系统正在迁移。", by=self.user(STAFF), now=now)
            Gate.objects.update_or_create(system="insurance", defaults={"failures": 6, "closed_until": now + 12 * HOUR})
            Gate.objects.update_or_create(system="wealth", defaults={"failures": 2})
            Gate.objects.update_or_create(system="micoin", defaults={"shadow": True, "at_once": 2, "per_minute": 600})

    def beside(self, made: Mapping[str, Request]) -> dict[str, str]:
        """What belongs to requests and has an address of its own."""
        person = self.user("tang-jiayi")
        with django_as(self.stack, "worker"):
            package = Package.objects.get(request=made["portable"])
            copy = packages.hand_over(package, receiver="乙银行", address="dpo@b.example", now=clock.now()).package
            token = signing.dumps([str(person.pk), str(copy.pk)], salt=HANDOVER)
            return {
                "task": str(Handover.objects.get(request=made["withdrawn"], act="stop").pk),
                "receipt": str(Receipt.objects.get(request=made["held"], event=HOLD).pk),
                "notice": str(Notice.objects.filter(user=self.user(CHEN)).latest("id").pk),
                "received": reverse("rights:received", args=[token]),
                "disown": stop_link(made["review"]).removeprefix(settings.PUBLIC_URL),
                "principal": str(self.user(PRINCIPAL).pk),
                "staff": self.business.account(STAFF).login,
            }

    def user(self, key: str) -> User:
        with django_as(self.stack, "owner"):
            found = User.objects.find_by("account_no", self.business.account(key).login)
        assert found is not None
        return found

    def file(self, key: str, kind: Kind, *, about: str = "", **details: Any) -> Request:
        filer, now = self.user(key), clock.now()
        with django_as(self.stack, "worker"):
            draft = submit.start_draft(
                subject=self.user(about or key), filed_by=filer, kind=kind, details={"entities": [], **details}, now=now
            )
            sent = submit.submit(request_id=draft.pk, now=now)
        self.until(lambda: self.again(sent).state != State.CHECKING, what=lambda: f"{kind} of {key} still checked")
        return self.again(sent)

    def ask_again(self, key: str) -> Request:
        """The same copy asked for twice: a person decides what the second costs."""
        self.wait(State.CLOSED, self.file(key, Kind.ACCESS))
        return self.file(key, Kind.ACCESS)

    def quote(self, key: str) -> Request:
        item = self.ask_again(key)
        with django_as(self.stack, "worker"):
            fees.quote_fee(
                item,
                reviewer=self.user(STAFF),
                amount=Decimal("12.50"),
                reason="光盘一张和挂号信",
                now=clock.now(),
            )
        return self.again(item)

    def approve(self, key: str) -> Request:
        item, now = self.file(key, Kind.DELETION), clock.now()
        with django_as(self.stack, "worker"):
            plan = review.live_plan(item, now=now)
            review.approve(
                item, reviewer=self.user(STAFF), key="OK.PERIOD_OVER", text="我们会删除保留期已满的部分。",
                lines={line.collection: "keep" for line in plan.of(Fate.PERSON)}, plan=plan, now=now,
            )  # fmt: skip
        return item

    def again(self, item: Request) -> Request:
        with django_as(self.stack, "worker"):
            return Request.objects.select_related("subject", "filed_by", "reviewer").get(pk=item.pk)

    def is_halted(self, item: Request) -> bool:
        with django_as(self.stack, "worker"):
            return any(map(gates.is_stopped, item.steps.all()))

    def wait(self, state: State, *items: Request) -> None:
        """Until the running worker has brought them there."""

        def there() -> bool:
            return all(self.again(item).state == state for item in items)

        self.until(there, what=lambda: f"{state}; they are {[self.again(item).state for item in items]}")

    def until(self, happened: Callable[[], bool], *, what: Callable[[], str]) -> None:
        def look() -> bool:
            self.tick()
            return happened()

        wait_until(look, seconds=40, what=what)

    def tick(self) -> None:
        with django_as(self.stack, "worker"):
            now = clock.now()
            watch.tick(now=now, dispatch=lambda item: fulfil.advance(request_id=item.pk, now=now))


class Reader:
    """The pages as Django answers them, with no server between."""

    def __init__(self, states: States, made: Mapping[str, str]) -> None:
        self.states, self.made = states, made
        self.clients: dict[str, Client] = {}

    def open(self, row: Row, language: str) -> HttpResponseBase:
        """The page, whatever its status."""
        client = self.client(row.who)
        client.cookies["language"] = language
        address = row.address.format(**self.made)
        if not address.startswith("/"):
            return HttpResponse(loader.render_to_string(address))
        answer = client.get(address, follow=True)
        if row.send is None:
            return answer
        form = form_with(html.fromstring(answer.content), {*row.send, *row.ticked})
        values = {**dict(form.form_values()), **dict.fromkeys(row.ticked, "on"), **self.typed(row)}
        return client.post(form.get("action") or address, values, follow=True)

    def typed(self, row: Row) -> dict[str, str]:
        return {name: value.format(**self.made) for name, value in (row.send or {}).items()}

    def client(self, who: str) -> Client:
        if who not in self.clients:
            self.clients[who] = client = Client()
            if who:
                account = self.states.business.account(who)
                client.post("/sign-in/", {"login": account.login, "password": account.password})
                if account.role != "subject":
                    client.post("/sign-in/code/", {"code": totp.show_code(account.login, now=clock.now())})
        return self.clients[who]


def form_with(document: html.HtmlElement, names: set[str]) -> html.FormElement:
    """The first form of the main part that sends these fields."""
    for form in document.forms:
        if form.method == "POST" and form.xpath("ancestor::main") and names <= set(form.fields):
            return form
    raise AssertionError(f"no form with {names} among {[sorted(form.fields) for form in document.forms]}")
