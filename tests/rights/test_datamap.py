"""A data map is used whole or not at all, and each fault says where it is, what it is and what to do."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest
import yaml
from django.core.management import CommandError, call_command

from rights.actions.datamap import load_map, store_documents
from rights.datamap import Fault, FaultyMap, load_live_map, parse_documents, read_folder
from rights.models import DataMapVersion
from tests.rights.shop import DATASET, DOCUMENTS, GOVERNANCE, NOW, Shop
from tests.stack import Stack

As = Callable[[str], AbstractContextManager[None]]


def governance(**changes: object) -> dict[str, str]:
    """The shop's map with some sections of its governance replaced; a `None` takes the section away."""
    stated = yaml.safe_load(GOVERNANCE) | changes
    return {**DOCUMENTS, "governance.yml": yaml.safe_dump({k: v for k, v in stated.items() if v is not None})}


def with_collection(collection: str, /, **changes: object) -> dict[str, str]:
    """The shop's map with some keys of one collection replaced; a `None` takes the key away."""
    collections = yaml.safe_load(GOVERNANCE)["collections"]
    body = {**collections.get(collection, {}), **changes}
    collections[collection] = {name: value for name, value in body.items() if value is not None}
    return governance(collections=collections)


def with_blocker(**changes: object) -> dict[str, str]:
    body = yaml.safe_load(GOVERNANCE)["blockers"]["BLOCK.LOAN"]
    return governance(blockers={"BLOCK.LOAN": {**body, **changes}})


def with_dataset(before: str, after: str) -> dict[str, str]:
    assert before in DATASET
    return {**DOCUMENTS, "datasets/shop.yml": DATASET.replace(before, after)}


def only_fault(documents: dict[str, str]) -> Fault:
    with pytest.raises(FaultyMap) as caught:
        parse_documents(documents)
    (fault,) = caught.value.faults
    return fault


WHEN = [{"field": "balance", "op": "more", "value": 0}]


@pytest.mark.parametrize(
    ("documents", "file", "key", "reason", "remedy"),
    [
        pytest.param(
            governance(blokers={}), "governance.yml", "blokers", "not a section", "blockers", id="unknown section"
        ),
        pytest.param(
            with_collection("shop.visit", trigered="page"),
            "governance.yml", "collections.shop.visit.trigered", "not known", "trigger", id="unknown collection key",
        ),
        pytest.param(
            with_collection("shop.visit", **{"class": None}),
            "governance.yml", "collections.shop.visit.class", "missing", "State class", id="no class",
        ),
        pytest.param(
            with_collection("shop.visit", **{"class": "KIC"}),
            "governance.yml", "collections.shop.visit.class", "KIC is not a class", "KYC", id="unknown class",
        ),
        pytest.param(
            with_collection("shop.consent", basis=None),
            "governance.yml", "collections.shop.consent.basis", "no basis", "Say why", id="none without a basis",
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "forget"}),
            "governance.yml", "collections.shop.visit.erase", "no known method", "delete", id="unknown way to erase",
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "mask", "fields": {"page": "scramble"}}),
            "governance.yml", "collections.shop.visit.erase", "scramble", "constant", id="unknown way to mask",
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "mask"}),
            "governance.yml", "collections.shop.visit.erase", "masks no field", "fields", id="a mask of nothing",
        ),
        pytest.param(
            with_collection("shop.visit", trigger="seen_on"),
            "governance.yml", "collections.shop.visit", "no field seen_on", "dataset", id="trigger is no field",
        ),
        pytest.param(
            with_collection("shop.visit", key="OK.PURPOSE_ENDED"),
            "governance.yml", "collections.shop.visit.key", "OK.PURPOSE_ENDED", "reason", id="unknown reason",
        ),
        pytest.param(
            with_collection("shop.consent", **{"while": "ever"}),
            "governance.yml", "collections.shop.consent.while", "ever", "relationship", id="unknown while",
        ),
        pytest.param(
            with_collection("shop.ghost", **{"class": "KYC", "erase": {"method": "delete"}}),
            "governance.yml", "collections.shop.ghost", "no dataset has", "datasets/", id="no such collection",
        ),
        pytest.param(
            with_collection("shop.visit", consent="tracking"),
            "governance.yml", "collections.shop.visit.consent", "tracking", "consents.tracking", id="unknown consent",
        ),
        pytest.param(
            with_blocker(when=WHEN),
            "governance.yml", "blockers.BLOCK.LOAN.when", "more is not an operator", "gt", id="unknown operator",
        ),
        pytest.param(
            with_blocker(when=[{"field": "rest", "op": "gt", "value": 0}]),
            "governance.yml", "blockers.BLOCK.LOAN.when", "no field rest", "Correct", id="blocker on no field",
        ),
        pytest.param(
            with_blocker(when=[{"field": "balance", "op": "in", "value": 0}]),
            "governance.yml", "blockers.BLOCK.LOAN.when", "needs a list", "[a, b]", id="in without a list",
        ),
        pytest.param(
            with_blocker(**{"in": "shop.lone"}),
            "governance.yml", "blockers.BLOCK.LOAN.in", "shop.lone", "Correct", id="blocker in no collection",
        ),
        # Each of these would have blocked nothing, and nobody would have known.
        pytest.param(
            with_blocker(blocks=["LOANS"]),
            "governance.yml", "blockers.BLOCK.LOAN.blocks", "LOANS is not a class", "LOAN", id="blocks no class",
        ),
        pytest.param(
            with_blocker(block=["LOAN"]),
            "governance.yml", "blockers.BLOCK.LOAN.block", "not known", "blocks", id="unknown key of a blocker",
        ),
        pytest.param(
            with_blocker(cancel="never"),
            "governance.yml", "blockers.BLOCK.LOAN.cancel", "never", "defer", id="unknown way to defer",
        ),
        pytest.param(
            with_blocker(show=["loan_no"]),
            "governance.yml", "blockers.BLOCK.LOAN.show", "no field loan_no", "Correct", id="shows no field",
        ),
        pytest.param(
            governance(entities={"shop": {"name": "Shop", "relationship": {"in": "shop.client"}}}),
            "governance.yml", "entities.shop.relationship", "shop.client", "Correct", id="relationship in nothing",
        ),
        pytest.param(
            governance(corrections={"mail": {"label": "Mail", "fields": ["shop.customer.mail"]}}),
            "governance.yml", "corrections.mail.when", "no field mail", "Correct", id="correction of no field",
        ),
        pytest.param(
            governance(entities=["shop"]), "governance.yml", "entities", "not a mapping", "keys", id="a list"
        ),
        pytest.param(
            with_collection("shop.visit", erase="delete"),
            "governance.yml", "collections.shop.visit", "not written", "", id="a word for a mapping",
        ),
        pytest.param(
            with_dataset("{name: visit_id, fides_meta: {primary_key: true}}", "{name: visit_id, fides_meta: {primary: 1}}"),  # noqa: E501
            "datasets/shop.yml", "shop.visit.visit_id", "primary is not known", "primary_key", id="misspelt Fides key",
        ),
    ],
)  # fmt: skip
def test_a_fault_says_its_file_its_key_the_reason_and_the_remedy(
    documents: dict[str, str], file: str, key: str, reason: str, remedy: str
) -> None:
    fault = only_fault(documents)
    assert (fault.file, fault.key) == (file, key)
    assert reason in fault.reason
    assert remedy in fault.remedy


def test_a_predicate_of_an_edge_names_a_field_that_is_there() -> None:
    edge = {"from": "shop.customer.customer_id", "to": "shop.visit.customer_id", "when": [{"field": "vip", "op": "eq"}]}
    fault = only_fault(governance(edges=[edge]))
    assert "shop.customer" in fault.reason
    assert "vip" in fault.reason


def test_an_edge_that_no_dataset_has_is_a_fault() -> None:
    edge = {"from": "shop.customer.customer_id", "to": "shop.visit.visitor", "when": []}
    assert "no dataset has this reference" in only_fault(governance(edges=[edge])).reason


def test_a_collection_that_no_identity_leads_to_is_a_fault() -> None:
    apart = "{dataset: shop, field: customer.customer_id, direction: from}"
    head, tail = DATASET.split("      - name: visit\n")
    documents = {**DOCUMENTS, "datasets/shop.yml": head + "      - name: visit\n" + tail.replace(apart, "", 1)}
    fault = only_fault(documents)
    assert fault.key == "collections.shop.visit"
    assert "cannot be reached" in fault.reason
    assert "identity" in fault.remedy


def test_references_that_lead_in_a_circle_are_walked_both_ways() -> None:
    back = "{name: visit_id, fides_meta: {primary_key: true}}"
    to = "{name: visit_id, fides_meta: {primary_key: true, references: [{dataset: shop, field: F, direction: to}]}}"
    parsed = parse_documents(with_dataset(back, to.replace("F", "customer.phone")))
    ways = {(edge.source, edge.target) for edge in parsed.edges}
    assert {("shop.customer", "shop.visit"), ("shop.visit", "shop.customer")} <= ways


def test_a_file_that_is_not_yaml_is_named() -> None:
    fault = only_fault({**DOCUMENTS, "datasets/other.yml": "dataset: [unclosed"})
    assert fault.file == "datasets/other.yml"
    assert "not YAML" in fault.reason


def test_a_folder_without_governance_is_no_map(tmp_path: Path) -> None:
    with pytest.raises(FaultyMap, match=r"governance\.yml"):
        read_folder(tmp_path)


def test_every_fault_is_told_at_once() -> None:
    collections = yaml.safe_load(GOVERNANCE)["collections"]
    collections["shop.visit"]["class"] = "KIC"
    collections["shop.orders"]["trigger"] = "paid_at"
    with pytest.raises(FaultyMap) as caught:
        parse_documents(governance(collections=collections, blokers={}))
    assert {fault.key for fault in caught.value.faults} >= {"collections.shop.visit.class", "collections.shop.orders"}
    assert "blokers" in {fault.key for fault in caught.value.faults}


# --- loading


@pytest.mark.role("owner")
def test_a_faulty_map_changes_nothing_that_is_live(db: None) -> None:
    store_documents(DOCUMENTS, name="shop", now=NOW)
    before = load_live_map()
    with pytest.raises(FaultyMap):
        store_documents(governance(blokers={}), name="shop", now=NOW)
    assert load_live_map() == before
    assert DataMapVersion.objects.count() == 1


@pytest.mark.role("owner")
def test_loading_the_same_map_again_is_no_change(db: None) -> None:
    assert store_documents(DOCUMENTS, name="shop", now=NOW) is True
    assert store_documents(DOCUMENTS, name="shop", now=NOW) is False
    assert DataMapVersion.objects.count() == 1


@pytest.mark.role("owner")
def test_a_changed_map_replaces_the_live_one_of_its_name_and_no_other(db: None) -> None:
    store_documents(DOCUMENTS, name="shop", now=NOW)
    store_documents(BRANCH, name="branch", now=NOW)
    store_documents(governance(blockers=None), name="shop", now=NOW)
    live = DataMapVersion.objects.filter(live=True)
    assert sorted(live.values_list("name", flat=True)) == ["branch", "shop"]
    assert DataMapVersion.objects.filter(name="shop").count() == 2
    assert [item.condition.collection for item in load_live_map().blockers.values()] == ["branch.loan"]


BRANCH = {
    "governance.yml": GOVERNANCE.replace("shop", "branch"),
    "datasets/branch.yml": DATASET.replace("shop", "branch"),
}


@pytest.mark.role("owner")
def test_two_maps_with_a_blocker_of_the_same_key_both_hold(db: None) -> None:
    store_documents(DOCUMENTS, name="shop", now=NOW)
    store_documents(BRANCH, name="branch", now=NOW)
    blockers = load_live_map().blockers.values()
    assert {(item.key, item.condition.collection) for item in blockers} == {
        ("BLOCK.LOAN", "shop.loan"),
        ("BLOCK.LOAN", "branch.loan"),
    }


@pytest.mark.role("owner")
def test_a_map_that_claims_a_system_of_another_map_is_refused(db: None) -> None:
    store_documents(DOCUMENTS, name="shop", now=NOW)
    with pytest.raises(FaultyMap, match="shop"):
        store_documents(governance(blockers=None), name="second", now=NOW)
    assert list(DataMapVersion.objects.values_list("name", flat=True)) == ["shop"]


# --- the command against live databases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in DOCUMENTS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def change(folder: Path, name: str, before: str, after: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert before in text
    (folder / name).write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.role("owner")
def test_check_says_that_a_sound_map_is_sound(shop: Shop, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("datamap", "check", str(folder), "--json")
    assert json.loads(capsys.readouterr().out) == {"collections": 6, "systems": 1}


@pytest.mark.role("owner")
def test_check_names_a_table_that_the_live_database_does_not_have(shop: Shop, folder: Path) -> None:
    change(folder, "datasets/shop.yml", "name: visit\n", "name: visits\n")
    change(folder, "governance.yml", "shop.visit:", "shop.visits:")
    with pytest.raises(CommandError, match="visits"):
        call_command("datamap", "check", str(folder))


@pytest.mark.role("owner")
def test_check_names_every_column_that_the_live_database_does_not_have(shop: Shop, folder: Path) -> None:
    change(folder, "datasets/shop.yml", "- {name: page}", "- {name: page}\n          - {name: seen_on}")
    change(folder, "datasets/shop.yml", "- {name: opened_on}", "- {name: opened_on}\n          - {name: colour}")
    with pytest.raises(CommandError) as caught:
        call_command("datamap", "check", str(folder), "--json")
    reasons = " ".join(fault["reason"] for fault in json.loads(str(caught.value))["faults"])
    assert "shop.visit has no column seen_on" in reasons
    assert "shop.customer has no column colour" in reasons


@pytest.mark.role("owner")
def test_load_against_a_database_that_differs_makes_nothing_live(shop: Shop, folder: Path) -> None:
    before = load_live_map()
    change(folder, "datasets/shop.yml", "- {name: page}", "- {name: seen_on}")
    with pytest.raises(CommandError, match="seen_on"):
        call_command("datamap", "load", str(folder), "--name", "shop")
    assert load_live_map() == before


@pytest.mark.role("owner")
def test_load_makes_the_folder_live_under_its_name(
    shop: Shop, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DataMapVersion.objects.all().delete()
    call_command("datamap", "load", str(folder), "--name", "corner", "--json")
    assert json.loads(capsys.readouterr().out)["changed"] is True
    assert load_map(folder=folder, name="corner", now=NOW) is False
    assert DataMapVersion.objects.get(live=True).name == "corner"


@pytest.mark.role("owner")
def test_a_system_without_an_address_is_named_with_the_variable_to_set(
    shop: Shop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYSTEM_SHOP_URL")
    with pytest.raises(CommandError, match="SYSTEM_SHOP_URL"):
        call_command("datamap", "check", str(folder))


@pytest.mark.role("owner")
def test_a_table_without_any_key_is_named(
    stack: Stack, db: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key no record can be named, so none could be erased and looked for again."""
    url = stack.make_database("rights_keyless")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.visit (account_no text, page text)")
    monkeypatch.setenv("SYSTEM_SHOP_URL", url)
    (folder / "datasets" / "shop.yml").write_text(
        "dataset: [{fides_key: shop, name: Shop, collections: [{name: visit, fields: "
        "[{name: account_no, fides_meta: {identity: account_no}}, {name: page}]}]}]"
    )
    (folder / "governance.yml").write_text(
        "systems: {shop: {schema: shop, entity: shop}}\n"
        "collections: {shop.visit: {class: CONS, erase: {method: delete}}}"
    )
    with pytest.raises(CommandError, match=r"shop\.visit has no key"):
        call_command("datamap", "check", str(folder))
