"""People of the shop who ask, and what must be true whatever died on the way.

What has to be in the shop at the end is worked out when somebody comes, in SQL and from the law alone: it lies in a
schema `truth` beside the shop, and nothing of the product has a part in it. Everybody differs in what they have.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from accounts.models import User
from portal.core import ledger
from portal.core.models import LedgerEntry, OutboxMessage
from rights.actions import review
from rights.actions.submit import start_draft, submit
from rights.kernel.states import Kind, State
from rights.models import Batch, ConsentEvent, CorrectionRecord, Event, Hold, Notice, Receipt, Request, Step
from tests.rights.shop import Shop
from tests.unpacking import open_package

Sums = dict[tuple[str, str], int]
"""(verb, collection) → records"""
OLD_PHONE, NEW_PHONE = "19900000001", "19900000002"
CASES = (Kind.DELETION, Kind.ACCESS, Kind.CORRECTION, Kind.WITHDRAWAL, Kind.CANCELLATION)
BYSTANDER = None
TABLES = {
    "customer": "customer_id, account_no, name, phone, opened_on, closed_on",
    "orders": "order_id, customer_id, paid_on, made_at",
    "loan": "loan_id, customer_id, balance, settled_on",
    "visit": "visit_id, customer_id, page",
    "parcel": "parcel_id, sender, receiver, sent_on",
    # When a consent was withdrawn is said by the portal's clock.
    "consent": "customer_id, purpose, granted, (changed_at IS NOT NULL) AS changed",
}

COME = """
INSERT INTO shop.customer
    SELECT n, account, 'name ' || n, '{old_phone}', '2010-01-01', CASE WHEN kind = 'cancellation' THEN NULL
        ELSE date '2020-01-31' END FROM person;
INSERT INTO shop.orders
    SELECT 1000 * n::bigint + i, n, date '2020-02-29' - i FROM person, generate_series(1, 1 + v % 3) i
    UNION ALL SELECT 1000 * n::bigint + 500 + i, n, date '2026-03-31' + i FROM person, generate_series(1, v % 2) i;
INSERT INTO shop.visit SELECT 1000 * n::bigint + i, n, 'page ' || i FROM person, generate_series(1, 1 + v % 5) i;
INSERT INTO shop.consent SELECT n, purpose, true FROM person, unnest(array['recommendation', 'other']) purpose;
"""
# Orders are kept for five years from their payment (TXN), the customer file for five years from the end of the
# relationship (KYC) and as long as an order leads to it; visits rest on a consent, consents on the relationship.
FOLLOW = """
INSERT INTO truth.orders SELECT o.* FROM shop.orders o JOIN person p ON p.n = o.customer_id
    WHERE p.kind NOT IN ('deletion', 'cancellation') OR o.paid_on + interval '5 years' >= date '{today}';
INSERT INTO truth.visit SELECT v.* FROM shop.visit v JOIN person p ON p.n = v.customer_id
    WHERE p.kind NOT IN ('deletion', 'cancellation', 'withdrawal');
INSERT INTO truth.consent
    SELECT c.customer_id, c.purpose, NOT withdrawn, CASE WHEN withdrawn THEN timestamptz '{today}' END
    FROM shop.consent c JOIN person p ON p.n = c.customer_id,
    LATERAL (SELECT p.kind = 'withdrawal' AND c.purpose = 'recommendation' AS withdrawn) w
    WHERE p.kind NOT IN ('deletion', 'cancellation');
INSERT INTO truth.customer
    SELECT c.customer_id, c.account_no, c.name, CASE WHEN p.kind = 'correction' THEN '{new_phone}' ELSE c.phone END,
        c.opened_on, CASE WHEN p.kind = 'cancellation' THEN date '{today}' ELSE c.closed_on END
    FROM shop.customer c JOIN person p ON p.n = c.customer_id
    WHERE p.kind <> 'deletion' OR EXISTS (SELECT FROM truth.orders o WHERE o.customer_id = c.customer_id);
INSERT INTO truth.gone
    SELECT n, 'shop.' || name, (had - has)::int FROM person, LATERAL (VALUES
        ('orders', (SELECT count(*) FROM shop.orders WHERE customer_id = n),
            (SELECT count(*) FROM truth.orders WHERE customer_id = n)),
        ('visit', (SELECT count(*) FROM shop.visit WHERE customer_id = n),
            (SELECT count(*) FROM truth.visit WHERE customer_id = n)),
        ('consent', (SELECT count(*) FROM shop.consent WHERE customer_id = n),
            (SELECT count(*) FROM truth.consent WHERE customer_id = n)),
        ('customer', 1, (SELECT count(*) FROM truth.customer WHERE customer_id = n))) t (name, had, has)
    WHERE had > has;
INSERT INTO truth.held
    SELECT o.customer_id, 'shop.orders', (o.paid_on + interval '5 years')::date, count(*)
        FROM truth.orders o JOIN person p ON p.n = o.customer_id WHERE p.kind IN ('deletion', 'cancellation')
        GROUP BY 1, 3
    UNION ALL
    SELECT c.customer_id, 'shop.customer', greatest((c.closed_on + interval '5 years')::date,
            (SELECT max(paid_on + interval '5 years')::date FROM truth.orders o WHERE o.customer_id = c.customer_id)), 1
        FROM truth.customer c JOIN person p ON p.n = c.customer_id WHERE p.kind IN ('deletion', 'cancellation');
INSERT INTO truth.had
    SELECT n, 1 + (SELECT count(*) FROM shop.orders WHERE customer_id = n)
        + (SELECT count(*) FROM shop.visit WHERE customer_id = n)
        + (SELECT count(*) FROM shop.consent WHERE customer_id = n) FROM person;
"""


@dataclass(frozen=True)
class Person:
    number: int
    kind: Kind | None
    user: User


@dataclass
class Crowd:
    """Everybody who has come to the shop, and their requests."""

    shop: Shop
    today: date
    people: list[Person] = field(default_factory=list)
    requests: dict[int, Request] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tables = "".join(f"CREATE TABLE truth.{name} (LIKE shop.{name});" for name in TABLES)
        self.shop.sql(
            f"DROP SCHEMA IF EXISTS truth CASCADE; CREATE SCHEMA truth; {tables}"
            "CREATE TABLE truth.gone (n int, collection text, count int);"
            "CREATE TABLE truth.held (n int, collection text, last_day date, count int);"
            "CREATE TABLE truth.had (n int, count int);"
        )

    def come(self, kinds: Sequence[Kind | None], *, now: datetime, alike: int | None = None) -> list[Person]:
        """Somebody for each kind, who has not asked yet; None is somebody who never will. How many records they have
        follows from their numbers, or from the one given."""
        first = len(self.people) + 1
        with self.shop.as_("owner"):
            came = [
                Person(
                    number,
                    kind,
                    User.objects.create_user(
                        account_no=str(500000 + number), password=None, display_name=f"刘洋{number}",
                        email=f"{number}@crowd.example", now=now,
                    ),
                )
                for number, kind in enumerate(kinds, start=first)
            ]  # fmt: skip
        values = ", ".join(
            f"({who.number}, '{who.user.account_no}', '{who.kind or 'nothing'}', {alike or who.number})" for who in came
        )
        person = f"CREATE TEMP TABLE person AS SELECT * FROM (VALUES {values}) p (n, account, kind, v);"
        text = (COME + FOLLOW).format(today=self.today.isoformat(), old_phone=OLD_PHONE, new_phone=NEW_PHONE)
        # One transaction, so that nobody plans for somebody who has come by half.
        self.shop.sql(f"BEGIN; {person} {text} DROP TABLE person; COMMIT;")
        self.people += came
        return came

    def draft(self, person: Person, *, now: datetime) -> Request:
        assert person.kind is not None
        details: dict[Kind, dict[str, Any]] = {
            Kind.CORRECTION: {"items": [{"correction": "phone", "old": OLD_PHONE, "new": NEW_PHONE}]},
            Kind.WITHDRAWAL: {"purposes": ["recommendation"]},
            Kind.CANCELLATION: {"entities": ["shop"]},
        }
        request = start_draft(
            subject=person.user, filed_by=person.user, kind=person.kind, details=details.get(person.kind, {}), now=now
        )
        self.requests[person.number] = request
        return request

    def file(self, people: Iterable[Person], *, now: datetime) -> list[Request]:
        """They ask, each for what they came for."""
        return [submit(request_id=self.draft(person, now=now).pk, now=now) for person in people]

    def approve_waiting(self, *, now: datetime) -> int:
        """Whoever waits for a person is approved; how many were."""
        waiting = list(self._mine().filter(state=State.REVIEW).select_related("subject", "filed_by"))
        for request in waiting:
            plan = review.live_plan(request, now=now)
            review.approve(
                request, reviewer=self.shop.reviewer, key="OK.PURPOSE_END", text="", lines={}, plan=plan, now=now
            )
        return len(waiting)

    def open_states(self) -> Counter[str]:
        return Counter(self._mine().exclude(state=State.CLOSED).values_list("state", flat=True))

    def dead_steps(self) -> list[tuple[str, str, str]]:
        """(verb, collection, reason) of what waits on the desk."""
        return list(Step.objects.filter(state=Step.State.DEAD).values_list("verb", "collection", "error"))

    def unsent(self) -> int:
        return Notice.objects.filter(sent_at__isnull=True).count()

    def everything_is_true(self, *, at: object = "") -> None:
        """Every request has ended, and what was done, held, told and written down is what the law says of the data."""
        self._require_data(at)
        for person in self.people:
            if person.number in self.requests:
                self.require_true_of(person, at=at)
        # Whoever oversees the portal is told of each year without its calendar.
        told = Counter(Notice.objects.values_list("request", "user", "kind", "second_contact", "params__year"))
        assert set(told.values()) == {1}, (at, told.most_common(3))
        assert not Notice.objects.filter(sent_at__isnull=True), at
        mails = Counter(OutboxMessage.objects.values_list("recipient", "subject", "body"))
        assert set(mails.values()) == {1}, (at, mails.most_common(3))
        assert len(mails) == sum(told.values()), at
        assert ledger.verify().problems == [], at

    def _mine(self) -> Any:
        return Request.objects.filter(pk__in=[request.pk for request in self.requests.values()])

    def _require_data(self, at: object) -> None:
        for table, columns in TABLES.items():
            has, must = (f"SELECT {columns} FROM {schema}.{table}" for schema in ("shop", "truth"))
            assert self.shop.sql(f"{has} EXCEPT ALL {must}") == [], (at, table, "should have gone or stayed as it was")
            assert self.shop.sql(f"{must} EXCEPT ALL {has}") == [], (at, table, "should still be there")

    def require_true_of(self, person: Person, *, at: object = "") -> None:
        """The request of one person has ended, and what was done, held and written down of it is true."""
        request = Request.objects.get(pk=self.requests[person.number].pk)
        at = (at, f"person {person.number}", request.kind)
        assert request.state == State.CLOSED, (at, request.state, self.dead_steps())
        steps = list(request.steps.exclude(verb="release"))
        assert {step.state for step in steps} <= {"done"}, at
        done, held = self._expected_done(person), self._truth("held", "collection, last_day, count", person)
        assert self._said(steps, held=False) == done, at
        assert self._said(steps, held=True) == _sum((("hold", name), count) for name, _, count in held), at
        found = Hold.objects.filter(request=request, released_at__isnull=True)
        assert sorted(found.values_list("collection", "last_day", "count")) == sorted(held), at
        batches = list(Batch.objects.filter(step__request=request))
        assert all(batch.closed_at and batch.keys is None for batch in batches), at
        erased = sum(count for (verb, _), count in done.items() if verb == "erase")
        assert sum(batch.gone or 0 for batch in batches) == erased, at
        self._require_told_once(request, done, held, at)
        self._require_effects(person, request, at)

    def _expected_done(self, person: Person) -> Sums:
        own: dict[Kind | None, Sums] = {
            Kind.ACCESS: {("export", "package"): self._truth("had", "count", person)[0][0]},
            Kind.CORRECTION: {("correct", "shop.customer"): 1},
            Kind.WITHDRAWAL: {("consent", "shop.consent"): 1},
            Kind.CANCELLATION: {("close", "shop.customer"): 1},
        }
        gone = self._truth("gone", "collection, count", person)
        return own.get(person.kind, {}) | {("erase", name): count for name, count in gone}

    def _truth(self, table: str, columns: str, person: Person) -> list[tuple[Any, ...]]:
        return self.shop.sql(f"SELECT {columns} FROM truth.{table} WHERE n = {person.number}")

    @staticmethod
    def _said(steps: Iterable[Step], *, held: bool) -> Sums:
        return _sum(((step.verb, step.collection), step.done) for step in steps if (step.verb == "hold") == held)

    def _require_told_once(self, request: Request, done: Sums, held: Sequence[Any], at: object) -> None:
        """The timeline, its ledger entries and the receipts: each moment once, each figure as it is."""
        moments = Counter(Event.objects.filter(request=request).values_list("kind", flat=True))
        assert moments["submitted"] == moments["closed"] == 1, (at, moments)
        assert moments["started"] == request.round, (at, moments)
        assert moments["step_done"] == request.steps.filter(state="done").count(), (at, moments)
        entries = Counter(LedgerEntry.objects.filter(chain=request.pk).values_list("kind", flat=True))
        assert entries == moments, at
        receipts = {receipt.event: receipt for receipt in Receipt.objects.filter(request=request)}
        assert len(receipts) == Receipt.objects.filter(request=request).count(), at
        assert _recorded(receipts["fulfilment"]) == done, at
        if held:
            assert _recorded(receipts["hold"]) == _sum((("hold", name), count) for name, _, count in held), at
        else:
            assert "hold" not in receipts, at

    def _require_effects(self, person: Person, request: Request, at: object) -> None:
        match person.kind:
            case Kind.ACCESS:
                package = request.packages.get()
                assert (package.part, package.gaps) == (1, []), at
                assert open_package(request).testzip() is None, at
            case Kind.CORRECTION:
                kept = CorrectionRecord.objects.filter(request=request).values_list("field", "old", "new", "rows")
                assert list(kept) == [("phone", OLD_PHONE, NEW_PHONE, 1)], at
            case Kind.WITHDRAWAL:
                given = ConsentEvent.objects.filter(request=request).values_list("purpose", "given")
                assert list(given) == [("recommendation", False)], at


def _sum(counts: Iterable[tuple[tuple[str, str], int]]) -> Sums:
    found: Counter[tuple[str, str]] = Counter()
    for key, count in counts:
        found[key] += count
    return dict(found)


def _recorded(receipt: Receipt) -> Sums:
    return _sum(((item["act"], item["collection"]), item["count"]) for item in json.loads(receipt.fields)["records"])
