"""Requests from being filed to being closed, for a person in two tables: how many a second on the real worker."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import cache

import psycopg
import pytest

from accounts.models import User
from portal.core import clock
from rights.actions import review
from rights.actions.datamap import store_documents
from rights.actions.submit import start_draft, submit
from rights.kernel.states import Kind, State
from rights.models import Request
from tests.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
As = Callable[[str], AbstractContextManager[None]]
PEOPLE = 200
TABLES = """
CREATE SCHEMA quick;
CREATE TABLE quick.person (id int PRIMARY KEY, account text UNIQUE, name text);
CREATE TABLE quick.visit (id int PRIMARY KEY, person int NOT NULL REFERENCES quick.person, page text);
INSERT INTO quick.person SELECT n, (300000 + n)::text, 'name ' || n FROM generate_series(1, 10000) n;
INSERT INTO quick.visit SELECT n, (n + 9) / 10, 'page ' || n FROM generate_series(1, 100000) n;
CREATE INDEX ON quick.visit (person);
ANALYZE;
"""
DATASET = """
dataset:
  - fides_key: quick
    name: Quick
    collections:
      - name: person
        fields:
          - {name: id, fides_meta: {primary_key: true}}
          - {name: account, fides_meta: {identity: account_no}}
          - {name: name, data_categories: [user.name]}
      - name: visit
        fields:
          - {name: id, fides_meta: {primary_key: true}}
          - {name: person, fides_meta: {references: [{dataset: quick, field: person.id, direction: from}]}}
          - {name: page}
"""
GOVERNANCE = """
version: 1
entities: {quick: {name: {zh: 快, en: Quick}}}
systems: {quick: {schema: quick, entity: quick, label: {zh: 快, en: Quick}}}
collections:
  quick.person: {class: none, basis: {zh: 无, en: "None"}, erase: {method: delete}}
  quick.visit: {class: none, basis: {zh: 无, en: "None"}, erase: {method: delete}}
"""


@cache
def make_quick(stack: Stack) -> None:
    """Once a process: the live portal knows its systems' addresses from its start."""
    url = stack.make_database("bench_quick")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
    os.environ["SYSTEM_QUICK_URL"] = url


@pytest.fixture
def people(stack: Stack, django_as: As, db: None) -> list[User]:
    make_quick(stack)
    with django_as("owner"):
        store_documents({"governance.yml": GOVERNANCE, "datasets/quick.yml": DATASET}, name="quick", now=clock.now())
        return [
            User.objects.create_user(
                account_no=str(300000 + n),
                password=None,
                display_name=f"人{n}",
                email=f"{n}@mail.example",
                now=clock.now(),
            )
            for n in range(1, PEOPLE + 1)
        ]


def file_all(people: list[User], kind: Kind) -> list[Request]:
    filed = []
    for person in people:
        draft = start_draft(subject=person, filed_by=person, kind=kind, details={}, now=clock.now())
        filed.append(submit(request_id=draft.pk, now=clock.now()))
    return filed


def approve_all(requests: Iterable[Request], reviewer: User) -> None:
    for request in requests:
        plan = review.live_plan(request, now=clock.now())
        review.approve(request, reviewer=reviewer, key="OK.PURPOSE_END", text="", lines={}, plan=plan, now=clock.now())


@pytest.mark.parametrize("kind", [Kind.ACCESS, Kind.DELETION])
def test_requests_a_second_from_filing_to_the_end(
    people: list[User], live: str, kind: Kind, stack: Stack, django_as: As, capsys: pytest.CaptureFixture[str]
) -> None:
    with django_as("owner"):
        reviewer = User.objects.create_user(
            account_no="900001",
            password=None,
            display_name="审",
            role="support",
            email="r@mail.example",
            now=clock.now(),
        )
    with django_as("worker"):
        begun = time.perf_counter()
        filed = file_all(people, kind)
        asked = time.perf_counter() - begun
        mine = Request.objects.filter(pk__in=[request.pk for request in filed])
        if kind is Kind.DELETION:
            wait_until(lambda: not mine.exclude(state=State.REVIEW).exists(), seconds=300, what="reviews")
            approve_all(mine.select_related("subject", "filed_by"), reviewer)
        wait_until(lambda: not mine.exclude(state=State.CLOSED).exists(), seconds=300, what="the end of all")
        seconds = time.perf_counter() - begun
    if kind is Kind.DELETION:
        with psycopg.connect(os.environ["SYSTEM_QUICK_URL"]) as connection:
            left = connection.execute("SELECT count(*) FROM quick.visit WHERE person <= %s", [len(people)]).fetchone()
        assert left == (0,)
    with capsys.disabled():
        print(
            f"\n{len(filed)} {kind.value} requests: {len(filed) / seconds:.1f} a second from the first filed to the"
            f" last closed (filing alone {len(filed) / asked:.1f} a second)"
        )
