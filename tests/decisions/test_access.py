"""Access: what is held is in it, what the law keeps secret leaves no trace, what is somebody else's is blanked out."""

from typing import Any

import pytest
import sqlalchemy as sa

from rights.kernel.decisions import LEGAL_SECRECY, REASONS
from rights.kernel.plan import Fate
from rights.kernel.states import Kind, State
from rights.models import Request
from tests.decisions.office import NOW, Office, keys
from tests.unpacking import read_tables

pytestmark = pytest.mark.role("worker")

FEW, REPORTED = "luo-zihan", "han-zhiqiang"


def rows_of(office: Office, request: Request, collection: str) -> list[dict[str, str]]:
    return read_tables(office.package(request))[collection]


def test_ok_access_has_what_the_law_keeps_from_being_deleted(office: Office) -> None:
    deletion = office.plan("lin-xiaoyun")
    held = {line.collection: line.count for line in deletion.of(Fate.HOLD)}
    assert held["loan.loan"] == 1
    request = office.file("lin-xiaoyun", Kind.ACCESS)
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.ACCESS")
    for collection, count in held.items():
        assert len(rows_of(office, request, collection)) == count
    assert office.business.count("loan", "loan.loan", "contract_no LIKE 'XD880003%%'") == 1


def test_ok_access_of_one_company_has_nothing_of_the_others(office: Office) -> None:
    request = office.file("lin-xiaoyun", Kind.ACCESS, entities=["loan"])
    assert {name.partition(".")[0] for name in read_tables(office.package(request))} == {"loan"}
    left_out = {item["what"]: item["reason"] for item in office.manifest(request)["omitted"]}
    assert left_out == {key: "OMIT.NOT_ASKED" for key in office.data_map.entities if key != "loan"}


def report(office: Office, key: str) -> None:
    office.business.sql(
        "wallet",
        "INSERT INTO wallet.str_report (account_no, report_no, grounds, filed_on) VALUES (%s, %s, 'x', '2026-11-01')",
        [office.business.account(key).login, f"STR-{key}"],
    )


@pytest.mark.parametrize("kind", [Kind.ACCESS, Kind.DELETION, Kind.CANCELLATION])
def test_access_legal_confidential_changes_no_plan(office: Office, kind: Kind) -> None:
    before = office.plan("chen-jianguo", kind).to_json()
    report(office, "chen-jianguo")
    assert office.plan("chen-jianguo", kind).to_json() == before
    assert office.business.count("wallet", "wallet.str_report", "report_no = 'STR-chen-jianguo'") == 1


def _without_own(manifest: dict[str, Any]) -> dict[str, Any]:
    others = [item for item in manifest["resources"] if not item["name"].startswith("portal.")]
    assert len(others) < len(manifest["resources"])
    return {**manifest, "resources": others}


def test_access_legal_confidential_is_not_in_the_package_nor_in_its_manifest(office: Office) -> None:
    first = office.manifest(office.file(FEW, Kind.ACCESS))
    report(office, FEW)
    again = office.file(FEW, Kind.ACCESS)  # the same copy within a year: a person serves it
    second = office.manifest(office.approve(again))
    reported = office.manifest(office.file(REPORTED, Kind.ACCESS))
    for manifest in (first, second, reported):
        for name in ("id", "name", "created"):
            manifest.pop(name)
        # The pages say when they were made.
        manifest["resources"] = [item for item in manifest["resources"] if not item["path"].startswith("index")]
    # The portal's own rows tell of the first copy and its case; all else is the same to the byte.
    assert _without_own(first) == _without_own(second)

    def bare(manifest: dict[str, object]) -> dict[str, object]:
        """Apart from one's own counts and what follows from them."""
        resources = [
            {name: value for name, value in resource.items() if name not in {"rows", "hash", "bytes"}}
            for resource in manifest["resources"]  # type: ignore[attr-defined]
        ]
        return {**manifest, "resources": resources}

    assert bare(first) == bare(second) == bare(reported)
    assert "str_report" not in str(reported)
    assert first["secrecy"] == {"zh": LEGAL_SECRECY.zh, "en": LEGAL_SECRECY.en}


def test_access_legal_confidential_rows_are_never_asked_for(office: Office) -> None:
    """What is not asked takes no time that could tell."""
    said: list[str] = []

    def listen(connection: object, cursor: object, statement: str, *rest: object) -> None:
        said.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        office.plan(REPORTED)
        office.plan(REPORTED, Kind.ACCESS)
        office.file(REPORTED, Kind.ACCESS)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    mine = [statement for statement in said if "FROM wallet." in statement]
    assert mine
    # PostgreSQL does not run a part of a statement to which nothing refers, and nothing refers to this one.
    assert not [s for s in mine if "str_report" in s and "pg_catalog" not in s and _is_used(s)]


def _is_used(statement: str) -> bool:
    """Whether the part of a statement that reads the reports is read by another."""
    part = statement[: statement.index("str_report")].rpartition(" AS ")[0].rpartition("\n")[2].split()[-1]
    return statement.count(part + ".") > statement.count(f"FROM {part}\n")


def test_redact_third_party_names_and_phones_of_contacts(office: Office) -> None:
    assert keys(office.plan("chen-ruolan", Kind.ACCESS), "loan.contact", "loan.loan") == {
        "loan.contact": {"REDACT.THIRD_PARTY"},
        "loan.loan": {"OK.ACCESS"},
    }
    theirs = office.business.sql(
        "loan",
        "SELECT c.name, c.phone FROM loan.contact c JOIN loan.customer USING (customer_id) WHERE account_no = %s",
        [office.business.account("chen-ruolan").login],
    )
    assert len(theirs) == 3
    request = office.file("chen-ruolan", Kind.ACCESS)
    contacts = rows_of(office, request, "loan.contact")
    assert [sorted(row) for row in contacts] == [["collected_at", "contact_id", "customer_id", "relation"]] * 3
    archive = office.package(request)
    whole = b"".join(archive.read(name) for name in archive.namelist())
    for name, phone in theirs:
        assert phone.encode() not in whole
        assert name.encode() not in archive.read("data/loan.contact.csv")
    (resource,) = (item for item in office.manifest(request)["resources"] if item["name"] == "loan.contact")
    assert [item["field"] for item in resource["redacted"]] == ["name", "phone"]
    reason = REASONS["REDACT.THIRD_PARTY"]
    for page, text in (("index.html", reason.zh), ("index.en.html", reason.en)):
        said = archive.read(page).decode()
        assert text in said
        assert reason.basis in said


def test_ok_portable_has_what_rests_on_consent_or_contract_and_names_what_it_leaves_out(office: Office) -> None:
    request = office.file("zhou-mingyuan", Kind.ACCESS, portable=True)
    assert (request.state, request.closing_key) == (State.CLOSED, "OK.PORTABLE")
    manifest = office.manifest(request)
    names = {resource["name"] for resource in manifest["resources"]}
    # Given by him, or arising from what he signed.
    assert {"loan.loan", "loan.repayment", "platform.behaviour", "platform.profile"} <= names
    # A score that somebody computed, and what only the law makes the companies hold.
    left_out = {item["what"]: item["reason"] for item in manifest["omitted"]}
    assert left_out["loan.bureau_report"] == "OMIT.DERIVED"
    assert left_out["platform.real_name"] == left_out["platform.access_log"] == "OMIT.BASIS"
    assert not left_out.keys() & names
    assert "wallet.str_report" not in {*names, *left_out}
    assert all(item["zh"] and item["en"] and item["basis"] for item in manifest["omitted"])
    labels = [office.data_map.collections[key].label("zh") for key in left_out]
    page = office.package(request).read("index.html").decode()
    assert all(label in page for label in labels)


def test_ok_portable_redacts_others_all_the_same(office: Office) -> None:
    plan = office.plan("chen-ruolan", Kind.ACCESS, portable=True)
    assert keys(plan, "loan.contact", "loan.loan") == {
        "loan.contact": {"REDACT.THIRD_PARTY"}, "loan.loan": {"OK.PORTABLE"}
    }  # fmt: skip
    assert "loan.bureau_report" in plan.omitted
    assert not office.plan("chen-ruolan", Kind.ACCESS, now=NOW).omitted
