"""The portal's own rows about a person: shown with the rest, opened from their seals, changed by no request."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from accounts.authority import grant_authority
from accounts.stepup import issue_code
from portal.demo.loading import DATAMAP_DIR
from rights.actions.submit import matter_of, start_draft
from rights.actions.watch import send_notices
from rights.connectors.base import Everybody, Refused, Unavailable
from rights.connectors.own import find_faults
from rights.connectors.registry import check_own, connect, open_snapshot
from rights.datamap import DataMap, FaultyMap, parse_documents, read_folder
from rights.datamap.parse import GOVERNANCE
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from rights.models import ConsentEvent, Notice, Request
from rights.planning import make_plan
from rights.queries import active_rules
from tests.decisions.office import LATER, NOW, Office
from tests.unpacking import open_package, read_manifest, read_tables

pytestmark = pytest.mark.role("worker")

FEW, CHEN, OTHER = "luo-zihan", "chen-ruolan", "lin-xiaoyun"


def tables_of(request: Request) -> dict[str, list[dict[str, str]]]:
    found = read_tables(open_package(request))
    return {name.removeprefix("portal."): rows for name, rows in found.items() if name.startswith("portal.")}


def test_the_package_has_the_account_and_its_identities_opened_from_their_seals(office: Office) -> None:
    stated = office.business.account(CHEN)
    tables = tables_of(office.file(CHEN, Kind.ACCESS))
    (account,) = tables["accounts_user"]
    told = {name: account[name] for name in ("account_no", "phone", "email", "display_name", "language")}
    assert told == {
        "account_no": stated.login, "phone": stated.phone, "email": stated.email, "display_name": stated.name,
        "language": "zh-hans",
    }  # fmt: skip
    assert account["created_at"] == "2026-11-23 09:00:00+08:00", "Beijing time"
    assert {row["kind"]: row["value"] for row in tables["accounts_identity"]} == stated.identities


def test_what_opens_the_account_is_in_no_file(office: Office) -> None:
    request = office.file(CHEN, Kind.ACCESS)
    names = {name for rows in tables_of(request).values() for row in rows for name in row}
    assert not names & {"password", "digest", "secret", "data_key", "salt", "account_index", "index"}
    assert office.person(CHEN).password.encode() not in b"".join(map(open_package(request).read, _files(request)))


def _files(request: Request) -> list[str]:
    return open_package(request).namelist()


def test_it_has_earlier_requests_with_what_was_asked_and_what_was_told(office: Office) -> None:
    person = office.person(CHEN)
    asked: dict[str, Any] = {"entities": ["loan", "platform"], "portable": False}
    earlier = office.file(CHEN, Kind.ACCESS, **asked)
    send_notices(now=NOW)
    ConsentEvent.objects.create(user=person, purpose="marketing_sms", given=False, at=NOW)
    request = office.file(CHEN, Kind.ACCESS, now=NOW + timedelta(days=1))
    if request.state == State.REVIEW:  # the second within a year: a person serves it
        request = office.approve(request, now=NOW + timedelta(days=1))
    tables = tables_of(request)
    requests = {row["reference"]: row for row in tables["rights_request"]}
    assert set(requests) == {earlier.reference, request.reference}
    mine = requests[earlier.reference or ""]
    assert (mine["kind"], mine["state"]) == ("access", "closed")
    assert json.loads(mine["details"]) == asked
    sent = Notice.objects.filter(request=earlier).values_list("subject", "body")
    assert sent
    assert set(sent) <= {(row["subject"], row["body"]) for row in tables["rights_notice"]}
    assert [(row["purpose"], row["given"]) for row in tables["rights_consentevent"]] == [("marketing_sms", "false")]
    lines = [json.loads(line) for line in open_package(request).read("data/portal.rights_request.jsonl").splitlines()]
    assert [line["details"] for line in lines if line["reference"] == earlier.reference] == [asked]
    # An empty text and none are told apart where the format can: quoted, and bare.
    assert [line["extended_at"] for line in lines] == [None, None]


def test_the_people_on_the_other_side_are_left_out_and_named_as_left_out(office: Office) -> None:
    principal, agent, staff = office.person(FEW), office.person(OTHER), office.reviewer
    grant_authority(
        agent=agent, principal=principal, kind="agent", scope=["access"], now=NOW,
        valid_until=NOW + timedelta(days=90), proof_note="mandate shown by Lin",
    )  # fmt: skip
    request = office.file(FEW, Kind.DELETION)
    if request.state == State.REVIEW:
        office.approve(request)
    access = office.file(FEW, Kind.ACCESS, now=LATER)
    (mandate,) = tables_of(access)["accounts_authority"]
    assert (mandate["kind"], json.loads(mandate["scope"])) == ("agent", ["access"])
    files = b"".join(map(open_package(access).read, _files(access)))
    for somebody in (agent, staff):
        for value in (str(somebody.pk), somebody.display_name, somebody.phone, somebody.email):
            assert value.encode() not in files
    assert b"mandate shown by Lin" not in files
    (resource,) = (
        item for item in read_manifest(open_package(access))["resources"] if item["name"] == "portal.accounts_authority"
    )
    assert {item["field"] for item in resource["redacted"]} == {"agent_id", "principal_id", "proof_note"}
    assert {item["reason"] for item in resource["redacted"]} == {"REDACT.THIRD_PARTY"}


def test_nobody_elses_rows_are_in_it(office: Office) -> None:
    theirs = office.file(OTHER, Kind.ACCESS)
    mine = office.file(FEW, Kind.ACCESS)
    files = b"".join(map(open_package(mine).read, _files(mine)))
    assert office.business.account(OTHER).login.encode() not in files
    assert (theirs.reference or "").encode() not in files
    assert len(tables_of(mine)["accounts_user"]) == 1


def test_what_came_after_the_receipt_is_not_in_it(office: Office) -> None:
    person = office.person(FEW)
    request = office.file(FEW, Kind.ACCESS)
    ConsentEvent.objects.create(user=person, purpose="before", given=True, at=NOW - timedelta(days=1))
    ConsentEvent.objects.create(user=person, purpose="after", given=True, at=NOW + timedelta(seconds=1))
    seed = matter_of(request).seed(now=NOW)
    with open_snapshot("portal", office.data_map, seed) as (snapshot, _):
        assert snapshot.read_values("portal.rights_consentevent", ["purpose"]) == [("before",)]


def test_the_plan_that_a_page_shows_counts_what_the_package_then_has(
    office: Office, django_as: Callable[[str], Any], owner_sql: Callable[..., Any]
) -> None:
    request = office.file(FEW, Kind.ACCESS)
    person = office.person(FEW)
    with django_as("worker"):
        issue_code(user=person, action="anything", now=NOW)
    with django_as("web"):
        plan = make_plan(matter_of(request), data_map=office.data_map, rules=active_rules(), now=NOW, wait=30)
        # The connection of the page itself spoke for nobody before and speaks for nobody after.
        assert Request.objects.count() == 0
    counts = {line.collection: line.count for line in plan.lines if line.system == "portal"}
    rows = tables_of(request)
    stays = {name for name in rows if name not in {"rights_notice", "rights_package", "rights_receipt"}}
    assert {name: counts.get(f"portal.{name}", 0) for name in stays} == {
        name: len(rows[name]) + (name == "accounts_onetimecode") for name in stays
    }
    assert {line.fate for line in plan.lines if line.system == "portal"} == {Fate.KEEP}


@pytest.mark.parametrize("kind", [Kind.DELETION, Kind.CANCELLATION, Kind.WITHDRAWAL])
def test_no_other_request_concerns_them(office: Office, kind: Kind) -> None:
    plan = office.plan(FEW, kind)
    assert plan.lines or kind is Kind.WITHDRAWAL
    assert "portal" not in {line.system for line in plan.lines}


def test_a_finished_deletion_leaves_the_proof_of_itself(office: Office) -> None:
    request = office.file(FEW, Kind.DELETION)
    if request.state == State.REVIEW:
        request = office.approve(request)
    request = office.advance(request, now=LATER + timedelta(hours=1))
    assert "portal" not in {step.system for step in request.steps.all()}
    assert office.person(FEW).display_name == office.business.account(FEW).name
    access = office.file(FEW, Kind.ACCESS, now=LATER + timedelta(days=1))
    assert request.reference in {row["reference"] for row in tables_of(access)["rights_request"]}


def test_of_somebody_without_an_account_there_is_nothing(office: Office) -> None:
    for identities in ({"account_no": "123456"}, {"id_number": "110101201305210018"}):
        draft = start_draft(
            subject=office.person(FEW), filed_by=office.person(FEW), kind=Kind.ACCESS, details={}, now=NOW
        )
        seed = replace(matter_of(draft).seed(now=NOW), identities=identities)
        with open_snapshot("portal", office.data_map, seed) as (snapshot, _):
            assert snapshot.read_values("portal.accounts_user", ["account_no"]) == []
            written: list[bytes] = []
            assert snapshot.copy_rows("portal.accounts_user", redact=(), form="csv", write=written.append) == 0
            assert b"".join(written).startswith(b"id,")


def test_two_of_them_are_read_side_by_side(office: Office) -> None:
    """A page that shows two people's rows, or a package that is made while a plan is."""
    found = []
    seeds = [matter_of(office.file(name, Kind.ACCESS)).seed(now=NOW) for name in (FEW, CHEN)]
    connector = connect("portal", office.data_map)
    with connector.snapshot(seeds[0]) as one:
        with connector.snapshot(seeds[1]) as other:
            found += [each.read_values("portal.accounts_user", ["account_no"]) for each in (one, other)]
        found.append(one.read_values("portal.accounts_user", ["account_no"]))
    mine, theirs = ([(office.business.account(name).login,)] for name in (FEW, CHEN))
    assert found == [mine, theirs, mine]


def test_no_act_of_a_request_is_done_to_them(office: Office) -> None:
    connector = connect("portal", office.data_map)
    seed = matter_of(office.file(FEW, Kind.ACCESS)).seed(now=NOW)
    assert (connector.erase_order(), connector.found_first()) == ([], frozenset())
    connector.check()
    with pytest.raises(Refused, match="no request changes its rows"):
        connector.erase(seed, {}, "portal.accounts_user", [(office.person(FEW).pk,)])
    with pytest.raises(Refused, match="no request changes its rows"):
        connector.correct(seed, "portal.accounts_user", "email", old="a", new="b")
    everybody = replace(seed, everybody=Everybody("account_no"))
    with connector.snapshot(everybody) as snapshot:
        assert snapshot.list_subjects([None]) == [frozenset()]


def test_a_table_that_does_not_answer_is_unknown_and_not_empty(office: Office, as_role: Callable[[str], Any]) -> None:
    request = office.file(FEW, Kind.ACCESS)
    with as_role("superuser") as other, other.transaction():
        other.execute("LOCK TABLE rights_consentevent IN ACCESS EXCLUSIVE MODE")
        plan = make_plan(matter_of(request), data_map=office.data_map, rules=active_rules(), now=NOW, wait=1)
        assert "portal" in plan.unknown
        with (
            pytest.raises(Unavailable),
            connect("portal", office.data_map).snapshot(matter_of(request).seed(now=NOW), patience=0.2) as snapshot,
        ):
            snapshot.read_values("portal.rights_consentevent", ["purpose"])


def test_a_broken_seal_is_refused_and_nothing_is_made_up(office: Office, owner_sql: Callable[..., Any]) -> None:
    seed = matter_of(office.file(FEW, Kind.ACCESS)).seed(now=NOW)
    owner_sql(
        "UPDATE accounts_user SET email = substr(email, 1, length(email) - 1) WHERE id = %s", [office.person(FEW).pk]
    )
    with (
        connect("portal", office.data_map).snapshot(seed) as snapshot,
        pytest.raises(Refused, match="sealed value"),
    ):
        snapshot.read_values("portal.accounts_user", ["email"])


# --- what a map may say of them


def test_the_demos_map_says_only_what_is_so(office: Office) -> None:
    assert check_own(office.data_map) == []


def _changed(data_map: DataMap, key: str, **changes: Any) -> DataMap:
    return replace(data_map, collections={**data_map.collections, key: replace(data_map.collections[key], **changes)})


def test_a_map_that_says_more_than_is_so_is_refused(office: Office) -> None:
    known, key = office.data_map, "portal.accounts_user"
    fields = known.collections[key].fields
    assert fields
    said: list[tuple[dict[str, Any], str]] = [
        ({"name": "accounts_nobody"}, "accounts_nobody is no table of the portal."),
        ({"fields": (*fields, replace(fields[0], name="nickname"))}, "accounts_user has no column nickname."),
        ({"fields": (*fields, replace(fields[0], name="password"))}, "password is a secret that nobody is shown."),
        (
            {"fields": (*fields, replace(fields[0], name="phone", identity="phone"))},
            "phone is no identity by which the portal knows a person.",
        ),
    ]
    for changes, reason in said:
        assert reason in {told for _key, told, _remedy in find_faults(_changed(known, key, **changes))}
    (edge,) = (edge for edge in known.edges if edge.target == "portal.rights_consentevent")
    for edges, reason in [
        ([replace(edge, target="loan.customer")], "leads from the portal's own rows to another system's, or back."),
        ([replace(edge, source_fields=("id", "id"))], "has a condition or several fields, which is for a database."),
        ([edge, replace(edge, source=edge.target, target=edge.source)], "go round in a circle."),
    ]:
        assert [told for _key, told, _remedy in find_faults(replace(known, edges=tuple(edges)))] == [reason]
    blocker = next(iter(known.blockers.values()))
    condition = replace(blocker.condition, collection="portal.rights_request")
    faulty = replace(known, blockers={blocker.key: replace(blocker, condition=condition)})
    assert [key for key, _reason, _remedy in find_faults(faulty)] == [f"blockers.{blocker.key}"]


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("portal: {kind: own, entity", "portal: {kind: own, schema: public, entity", "systems.portal.schema"),
        ("portal: {kind: own, entity", "portal: {kind: own, backup_days: 3, entity", "systems.portal.backup_days"),
        ("portal: {kind: own, entity", "portal: {schema: public, entity", "collections.portal.rights_fee.erase.method"),
        ("portal: {kind: own, entity", "portal: {kind: sql, entity", "systems.portal.schema"),
        ("erase: {method: own}", "erase: {method: delete}", "collections.portal.rights_fee.erase.method"),
    ],
)
def test_a_map_that_takes_the_portal_for_a_database_is_refused(before: str, after: str, key: str) -> None:
    documents = read_folder(DATAMAP_DIR)
    assert before in documents[GOVERNANCE]
    with pytest.raises(FaultyMap) as refused:
        parse_documents({**documents, GOVERNANCE: documents[GOVERNANCE].replace(before, after)})
    assert key in {fault.key for fault in refused.value.faults}
