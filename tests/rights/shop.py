"""A small shop as a business system: one customer file, orders, loans, visits and consents, and its data map.

The figures that a test expects stand in the test; nothing here is computed by the product.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar

import psycopg
from django.db import connections

from accounts.models import User
from portal.core.clock import SHANGHAI
from portal.core.models import Heartbeat
from rights.actions import fulfil, review, watch
from rights.actions.datamap import store_documents
from rights.actions.submit import matter_of, start_draft, submit
from rights.datamap import load_live_map
from rights.kernel.plan import Plan
from rights.kernel.states import Kind, State
from rights.models import Hold, Request, Step
from rights.planning import make_plan
from rights.queries import active_rules
from tests.stack import Stack

T = TypeVar("T")
As = Callable[[str], AbstractContextManager[None]]

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=SHANGHAI)  # case 1 of the clock table: due 2026-12-08

TABLES = """
CREATE SCHEMA shop;
CREATE TABLE shop.customer (
    customer_id integer PRIMARY KEY, account_no text NOT NULL, name text, phone text, opened_on date, closed_on date);
CREATE TABLE shop.orders (
    order_id bigint PRIMARY KEY, customer_id integer NOT NULL REFERENCES shop.customer, paid_on date,
    made_at timestamptz NOT NULL DEFAULT '2020-01-01 00:00+08');
CREATE TABLE shop.loan (
    loan_id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES shop.customer, balance numeric(12, 2) NOT NULL,
    settled_on date);
CREATE TABLE shop.visit (
    visit_id bigint PRIMARY KEY, customer_id integer NOT NULL REFERENCES shop.customer, page text NOT NULL);
CREATE TABLE shop.parcel (
    parcel_id integer PRIMARY KEY, sender integer REFERENCES shop.customer, receiver integer REFERENCES shop.customer,
    sent_on date);
CREATE TABLE shop.consent (
    customer_id integer NOT NULL REFERENCES shop.customer, purpose text NOT NULL, granted boolean NOT NULL,
    changed_at timestamptz, PRIMARY KEY (customer_id, purpose));
"""
NAMES = ("consent", "parcel", "visit", "loan", "orders", "customer")

DATASET = """
dataset:
  - fides_key: shop
    name: Shop
    collections:
      - name: customer
        fields:
          - {name: customer_id, fides_meta: {primary_key: true}}
          - {name: account_no, fides_meta: {identity: account_no}}
          - {name: name, data_categories: [user.name]}
          - {name: phone, data_categories: [user.contact.phone_number]}
          - {name: opened_on}
          - {name: closed_on}
      - name: orders
        fields:
          - {name: order_id, fides_meta: {primary_key: true}}
          - name: customer_id
            fides_meta: {references: [{dataset: shop, field: customer.customer_id, direction: from}]}
          - {name: paid_on}
          - {name: made_at}
      - name: loan
        fields:
          - {name: loan_id, fides_meta: {primary_key: true}}
          - name: customer_id
            fides_meta: {references: [{dataset: shop, field: customer.customer_id, direction: from}]}
          - {name: balance}
          - {name: settled_on}
      - name: visit
        fields:
          - {name: visit_id, fides_meta: {primary_key: true}}
          - name: customer_id
            fides_meta: {references: [{dataset: shop, field: customer.customer_id, direction: from}]}
          - {name: page}
      - name: parcel
        fields:
          - {name: parcel_id, fides_meta: {primary_key: true}}
          - name: sender
            fides_meta: {references: [{dataset: shop, field: customer.customer_id, direction: from}]}
          - name: receiver
            fides_meta: {references: [{dataset: shop, field: customer.customer_id, direction: from}]}
          - {name: sent_on}
      - name: consent
        fields:
          - name: customer_id
            fides_meta:
              primary_key: true
              references: [{dataset: shop, field: customer.customer_id, direction: from}]
          - {name: purpose, fides_meta: {primary_key: true}}
          - {name: granted}
          - {name: changed_at}
"""

GOVERNANCE = """
version: 1
entities:
  shop:
    name: {zh: 商店, en: Shop}
    relationship: {in: shop.customer, when: [{field: closed_on, op: is_null}]}
systems: {shop: {schema: shop, entity: shop, label: {zh: 商店系统, en: Shop system}}}
collections:
  shop.customer:
    {class: KYC, trigger: closed_on, cutoff: opened_on, close: {set: {closed_on: "@today"}}, erase: {method: delete}}
  shop.orders: {class: TXN, trigger: paid_on, cutoff: made_at, erase: {method: delete}}
  shop.loan: {class: LOAN, trigger: settled_on, erase: {method: delete}}
  shop.visit: {class: CONS, consent: recommendation, erase: {method: delete}}
  shop.parcel: {class: TXN, trigger: sent_on, erase: {method: delete}}
  shop.consent:
    class: none
    while: relationship
    basis: {zh: 记住你的选择, en: To keep your choices}
    erase: {method: delete}
blockers:
  BLOCK.LOAN:
    in: shop.loan
    when: [{field: balance, op: gt, value: 0}]
    blocks: [LOAN, KYC]
    show: [loan_id, balance]
consents:
  recommendation:
    label: {zh: 推荐, en: Recommendations}
    consequence: {zh: 推荐不再按你的喜好, en: Recommendations are no longer yours}
    in: shop.consent
    match: {purpose: recommendation}
    given: {granted: true}
    withdraw: {granted: false, changed_at: "@now"}
corrections:
  phone: {label: {zh: 手机号, en: Mobile phone}, kind: contact, fields: [shop.customer.phone]}
  name: {label: {zh: 姓名, en: Name}, kind: identity, fields: [shop.customer.name]}
"""

DOCUMENTS = {"governance.yml": GOVERNANCE, "datasets/shop.yml": DATASET}


@dataclass
class Shop:
    """The shop's database, its map loaded, with a person and a reviewer. Rows are given by each test."""

    url: str
    person: User
    other: User
    reviewer: User
    second: User
    as_: As
    stack: Stack

    def sql(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str, where: str = "true") -> int:
        return int(self.sql(f"SELECT count(*) FROM shop.{table} WHERE {where}")[0][0])

    def add_customer(self, number: int = 1, *, closed_on: date | None = None, of: User | None = None) -> None:
        self.sql(
            "INSERT INTO shop.customer VALUES (%s, %s, '陈若兰', '19900000001', '2020-01-01', %s)",
            [number, (of or self.person).account_no, closed_on],
        )

    def add_orders(self, *days: date | None, customer: int = 1, made_at: datetime | None = None) -> None:
        """One order a day given; they are numbered from 1 on."""
        first = int(self.sql("SELECT coalesce(max(order_id), 0) FROM shop.orders")[0][0]) + 1
        for number, day in enumerate(days, start=first):
            self.sql(
                "INSERT INTO shop.orders VALUES (%s, %s, %s, coalesce(%s::timestamptz, '2020-01-01 00:00+08'))",
                [number, customer, day, made_at],
            )

    def add_visits(self, count: int, *, customer: int = 1) -> None:
        self.sql("INSERT INTO shop.visit SELECT n, %s, 'page ' || n FROM generate_series(1, %s) n", [customer, count])

    def add_loan(self, balance: int, *, settled_on: date | None = None) -> None:
        self.sql("INSERT INTO shop.loan VALUES (1, 1, %s, %s)", [balance, settled_on])

    def file(self, kind: Kind = Kind.DELETION, *, now: datetime = NOW, **details: Any) -> Request:
        """A request of the person's, submitted and taken as far as it goes by itself."""
        draft = start_draft(subject=self.person, filed_by=self.person, kind=kind, details=details, now=now)
        request = submit(request_id=draft.pk, now=now)
        fulfil.advance(request_id=request.pk, now=now)
        return self.look(request)

    def approve(self, request: Request, *, now: datetime, lines: dict[str, str] | None = None) -> Request:
        """Approved on the plan as it is now; nothing is done yet."""
        plan = review.live_plan(request, now=now)
        review.approve(
            request, reviewer=self.reviewer, key="OK.PURPOSE_END", text="", lines=lines or {}, plan=plan, now=now
        )
        return self.look(request)

    def plan(self, request: Request, *, now: datetime = NOW) -> Plan:
        """What would become of everything if the request were approved now, however busy this machine is."""
        return make_plan(matter_of(request), data_map=load_live_map(), rules=active_rules(), now=now, wait=30)

    def advance(self, request: Request, *, now: datetime) -> Request:
        fulfil.advance(request_id=request.pk, now=now)
        return self.look(request)

    def tick(self, now: datetime) -> dict[str, int]:
        """One tick with the work done in this process, as `manage.py tick` has it."""
        return watch.tick(now=now, dispatch=lambda request: fulfil.advance(request_id=request.pk, now=now))

    def look(self, request: Request) -> Request:
        return Request.objects.select_related("subject", "filed_by", "reviewer").get(pk=request.pk)

    def held(self, request: Request) -> dict[tuple[str, date | None], int]:
        return {
            (hold.collection, hold.last_day): hold.count
            for hold in Hold.objects.filter(request=request, released_at__isnull=True)
        }

    def step(self, request: Request, collection: str) -> Step:
        return Step.objects.filter(request=request, collection=collection).latest("pk")

    def events(self, request: Request) -> list[str]:
        return list(request.events.order_by("id").values_list("kind", flat=True))

    def in_threads(self, *functions: Callable[[], T]) -> list[T]:
        """Each in a thread with a worker's connection of its own, all begun together."""
        password = psycopg.conninfo.conninfo_to_dict(self.stack.url_of("worker"))

        def run(function: Callable[[], T]) -> T:
            wrapper = connections.create_connection("default")
            wrapper.settings_dict = {
                **wrapper.settings_dict, "USER": password["user"], "PASSWORD": password["password"]
            }  # fmt: skip
            connections["default"] = wrapper
            try:
                return function()
            finally:
                wrapper.close()

        with ThreadPoolExecutor(max_workers=len(functions)) as pool:
            return list(pool.map(run, functions))


def open_shop(stack: Stack, as_: As, url: str) -> Shop:
    """The shop without a row, its map live, and four people."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name in NAMES:
            connection.execute(f"DELETE FROM shop.{name}".encode())
    with as_("owner"):
        Heartbeat.objects.all().delete()  # the next tick knows of no earlier one
        store_documents(DOCUMENTS, name="shop", now=NOW)
        person, other, reviewer, second = (
            User.objects.create_user(
                account_no=number, password=None, display_name=name, role=role, email=f"{number}@mail.example", now=NOW
            )
            for number, name, role in (
                ("100001", "陈若兰", "subject"),
                ("100002", "陈建国", "subject"),
                ("900001", "审核员", "support"),
                ("900002", "主管", "supervisor"),
            )
        )
    return Shop(url=url, person=person, other=other, reviewer=reviewer, second=second, as_=as_, stack=stack)


@cache
def make_shop_database(stack: Stack) -> str:
    """Once a process, whichever folder's tests ask for it first."""
    url = stack.make_database("rights_shop")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
    os.environ["SYSTEM_SHOP_URL"] = url
    return url


__all__ = ["DATASET", "DOCUMENTS", "GOVERNANCE", "NOW", "As", "Shop", "State", "make_shop_database", "open_shop"]
