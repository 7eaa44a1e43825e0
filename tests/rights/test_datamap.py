"""A data map is used whole or not at all, and each fault says where it is, what it is and what to do."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from django.core.management import CommandError, call_command
from jsonschema import Draft202012Validator

from rights.actions.datamap import load_map, store_documents
from rights.datamap import Fault, FaultyMap, Unplanned, load_live_map, parse_documents, read_folder
from rights.datamap.shape import SCHEMA, find_violations
from rights.datamap.values import OPERATORS
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
            "governance.yml", "collections.shop.visit.erase.method", "not a known method", "delete", id="unknown way to erase",  # noqa: E501
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "mask", "fields": {"page": "scramble"}}),
            "governance.yml", "collections.shop.visit.erase.fields.page", "scramble", "constant", id="unknown way to mask",  # noqa: E501
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "mask", "fields": {"page": {"hash": "md5"}}}),
            "governance.yml", "collections.shop.visit.erase.fields.page.hash", "md5 is not a known hash", "sha256", id="unknown hash",  # noqa: E501
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "mask", "fields": {"page": {"pseudonym": "No Name"}}}),
            "governance.yml", "collections.shop.visit.erase.fields.page.pseudonym", "No Name is not a name", "customer", id="no name of a pseudonym",  # noqa: E501
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "mask", "fields": {"page": {"date": "day"}}}),
            "governance.yml", "collections.shop.visit.erase.fields.page.date", "day is not a known part", "month", id="unknown part of a date",  # noqa: E501
        ),
        pytest.param(
            with_collection(
                "shop.visit", erase={"method": "mask", "fields": {"page": {"hash": "sha256", "date": "year"}}}
            ),
            "governance.yml", "collections.shop.visit.erase.fields.page", "is not a way of masking", "pseudonym", id="two ways to mask",  # noqa: E501
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
            "governance.yml", "collections.shop.visit.erase", "not written", "delete", id="a word for a mapping",
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


VISIT = "- {name: page}"


@pytest.mark.parametrize(
    ("before", "after", "key", "reason", "remedy"),
    [
        pytest.param(
            "fides_meta: {identity: account_no}", "fides_meta: {identiy: account_no}",
            "shop.customer.account_no", "identiy is not known", "Did you mean identity?", id="misspelt identity",
        ),
        pytest.param(
            VISIT, "- {name: page, data_categorys: [user]}",
            "shop.visit.page", "data_categorys is not known", "Did you mean data_categories?", id="field",
        ),
        pytest.param(
            VISIT, "- {name: page, fields: [{name: path, fides_meta: {lenght: 3}}]}",
            "shop.visit.page.path", "lenght is not known", "Did you mean length?", id="field in a field",
        ),
        pytest.param(
            "- name: visit", "- name: visit\n        feilds: []",
            "shop.visit", "feilds is not known", "Did you mean fields?", id="collection",
        ),
        pytest.param(
            "- name: visit", "- name: visit\n        fides_meta: {skip: true}",
            "shop.visit", "skip is not known", "skip_processing", id="meta of a collection",
        ),
        pytest.param(
            "name: Shop", "name: Shop\n    colections: []",
            "shop", "colections is not known", "Did you mean collections?", id="dataset",
        ),
        pytest.param(
            "name: Shop", "name: Shop\n    fides_meta: {namspace: {}}",
            "shop", "namspace is not known", "Did you mean namespace?", id="meta of a dataset",
        ),
        pytest.param(
            VISIT, "- {name: page, fides_meta: {references: [{dataset: shop, field: loan.loan_id, way: to}]}}",
            "shop.visit.page", "way is not known", "direction", id="reference",
        ),
        pytest.param(
            "[user.name]", "[user.nmae]",
            "shop.customer.name", "user.nmae is no known data category", "Did you mean user.name?", id="category",
        ),
        pytest.param(
            VISIT, "- {name: page}\n          - {name: page}",
            "shop.visit", "states page more than once", "Keep one", id="a field twice",
        ),
        pytest.param(
            "- name: visit\n", "- name: loan\n        fields: [{name: a}]\n      - name: visit\n",
            "shop", "states loan more than once", "Keep one", id="a collection twice",
        ),
        pytest.param(
            VISIT, "- {description: no name}",
            "shop.visit.2.name", "is missing", "State name", id="a field without a name",
        ),
        pytest.param(
            VISIT, "- {name: no}",
            "shop.visit.2.name", "False is not a text", "quotes", id="a name YAML reads as false",
        ),
    ],
)  # fmt: skip
def test_a_fault_of_a_dataset_says_where_it_is(before: str, after: str, key: str, reason: str, remedy: str) -> None:
    """Fides itself drops an unknown key in silence; a misspelt identity would then find nobody's records."""
    with pytest.raises(FaultyMap) as caught:
        parse_documents(with_dataset(before, after))
    (fault, *_) = [item for item in caught.value.faults if item.file == "datasets/shop.yml"]
    assert fault.key == key
    assert reason in fault.reason
    assert remedy in fault.remedy
    assert DATASET.replace(before, after).splitlines()[fault.line - 1].strip()


def test_a_category_of_ones_own_is_declared() -> None:
    documents = with_dataset("[user.name]", "[user.nickname.shop]")
    stated = yaml.safe_load(GOVERNANCE) | {"categories": ["user.nickname.shop"]}
    parsed = parse_documents({**documents, "governance.yml": yaml.safe_dump(stated)})
    assert "user.nickname.shop" in {
        name for item in parsed.collections["shop.customer"].fields for name in item.categories
    }


@pytest.mark.parametrize(
    ("documents", "key", "reason", "remedy"),
    [
        pytest.param(
            with_collection("shop.visit", **{"class": ["none", "LOG"], "consent": None, "basis": "Ended"}),
            "collections.shop.visit.class", "none and a class at once", "none alone", id="none and a class",
        ),
        pytest.param(
            with_collection("shop.visit", **{"class": "none", "consent": None, "basis": "Ended", "trigger": "page"}),
            "collections.shop.visit.trigger", "class none keeps nothing", "trigger: null", id="a trigger for nothing",
        ),
        pytest.param(
            with_collection("shop.visit", **{"while": "relationship"}),
            "collections.shop.visit.while", "withdrawn consent", "Leave while out", id="kept against a withdrawal",
        ),
        pytest.param(
            with_collection("shop.visit", legal_basis="contract"),
            "collections.shop.visit.legal_basis", "rests on consent alone", "Leave it out", id="a contract by consent",
        ),
        pytest.param(
            with_collection("shop.orders", legal_basis="consent"),
            "collections.shop.orders.legal_basis", "the law asks to keep", "law or contract", id="consent to a statute",
        ),
        pytest.param(
            with_collection("shop.visit", legal_basis="whim"),
            "collections.shop.visit.legal_basis", "whim is not a legal basis", "contract", id="unknown legal basis",
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "delete", "fields": {"page": "null"}}),
            "collections.shop.visit.erase.fields", "the method is delete", "mask", id="fields of a deletion",
        ),
        pytest.param(
            with_collection("shop.visit", erase={"method": "mask", "fields": {"visit_id": "null"}}),
            "collections.shop.visit.erase.fields.visit_id", "part of the key", "Leave it out", id="a masked key",
        ),
        pytest.param(
            with_collection("shop.orders", erase={"method": "mask", "fields": {"paid_on": "null"}}),
            "collections.shop.orders.erase.fields.paid_on", "starts the retention", "Leave", id="a masked trigger",
        ),
        pytest.param(
            with_collection("shop.customer", erase={"method": "mask", "fields": {"account_no": "null"}}),
            "collections.shop.customer.erase.fields.account_no", "leads to shop.consent, shop.loan", "follow: false",
            id="a masked identity",
        ),
        pytest.param(
            with_collection("shop.consent", primary_key=["customer_id"]),
            "collections.shop.consent.primary_key", "leaves out purpose", "every field", id="half a key",
        ),
        pytest.param(
            with_collection("shop.visit", primary_key=["visit_no"]),
            "collections.shop.visit", "no field visit_no", "dataset", id="a key that is no field",
        ),
        pytest.param(
            with_collection("shop.customer", close={"set": {"ended_on": "@today"}}),
            "collections.shop.customer", "no field ended_on", "dataset", id="close sets no field",
        ),
        pytest.param(
            with_collection("shop.customer", close={"set": {}}),
            "collections.shop.customer.close.set", "is empty", "granted", id="close sets nothing",
        ),
        pytest.param(
            with_collection("shop.visit", erase=None),
            "collections.shop.visit.erase", "is missing", "State erase", id="no way to erase",
        ),
        pytest.param(
            with_collection("shop.visit", label={"zh": "访问"}),
            "collections.shop.visit.label.en", "is missing", "State en", id="a text in one language",
        ),
        pytest.param(
            with_collection("shop.visit", confidential="very"),
            "collections.shop.visit.confidential", "not true or false", "Write true or false", id="a word for a yes",
        ),
        pytest.param(
            with_collection("shop.orders", trigger="shop.parcels.sent_on"),
            "collections.shop.orders.trigger", "shop.parcels, which is not a collection", "Correct", id="no trigger",
        ),
        pytest.param(
            with_collection("shop.orders", trigger="shop.parcel.sent_at"),
            "collections.shop.orders.trigger", "sent_at, which shop.parcel does not have", "Correct",
            id="trigger is no field there",
        ),
        pytest.param(
            with_collection("shop.orders", trigger="relationship:store"),
            "collections.shop.orders.trigger", "entity store", "entities.store", id="trigger of no entity",
        ),
        pytest.param(
            governance(entities={"shop": {"name": "Shop"}}),
            "collections.shop.consent.while", "nothing would be kept", "entities.shop.rel", id="no relationship",
        ),
        pytest.param(
            with_blocker(blocks=["LOAN", "FUND"]),
            "blockers.BLOCK.LOAN.blocks", "FUND is no collection, and the class of no", "entities", id="blocks nothing",
        ),
        pytest.param(
            with_blocker(cancel="person", waivable=True),
            "blockers.BLOCK.LOAN.waivable", "defers a cancellation", "cancel: defer", id="waived by nobody",
        ),
        pytest.param(
            with_collection("shop.visit", passed="shop.visit.page"),
            "collections.shop.visit.passed", "erased with it", "still says so", id="a proof that is erased too",
        ),
        pytest.param(
            with_collection("shop.visit", passed="shop.customer.checked_on"),
            "collections.shop.visit.passed", "shop.customer does not have", "dataset", id="a proof that is nowhere",
        ),
        pytest.param(
            with_blocker(entities=["shop", "shp"]),
            "blockers.BLOCK.LOAN.entities", "shp is no entity", "entities.shp", id="blocks for nobody",
        ),
        pytest.param(
            governance(systems={"shop": {"schema": "shop", "entity": "shop", "backup_days": -1}}),
            "systems.shop.backup_days", "-1 is not a number of days", "30", id="less than no days",
        ),
        pytest.param(
            governance(systems={"shop": {"schema": "shop", "entity": "shop", "shema": "x"}}),
            "systems.shop.shema", "is not known", "Did you mean schema?", id="unknown key of a system",
        ),
        pytest.param(
            governance(edges=[{"from": "shop.customer.customer_id", "too": "shop.visit.customer_id"}]),
            "edges shop.customer.customer_id → None.to", "is missing", "State to", id="an edge to nowhere",
        ),
        pytest.param(
            governance(edges=["shop.customer.customer_id"]),
            "edges", "not a mapping", "from", id="an edge that is a word",
        ),
    ],
)  # fmt: skip
def test_what_governance_may_not_say_at_once_is_a_fault(
    documents: dict[str, str], key: str, reason: str, remedy: str
) -> None:
    with pytest.raises(FaultyMap) as caught:
        parse_documents(documents)
    assert key in {fault.key for fault in caught.value.faults}
    (fault,) = [fault for fault in caught.value.faults if fault.key == key]
    assert fault.file == "governance.yml"
    assert reason in fault.reason
    assert remedy in fault.remedy


CONSENT = yaml.safe_load(GOVERNANCE)["consents"]["recommendation"]


@pytest.mark.parametrize(
    ("consents", "key", "reason"),
    [
        ({"recommendation": {**CONSENT, "withdraw": {"changed_at": "@now"}}}, "recommendation.withdraw", "given"),
        ({"recommendation": {**CONSENT, "withdraw": {"granted": True}}}, "recommendation.withdraw", "given"),
        (
            {"recommendation": {**CONSENT, "withdraw": {"granted": False, "purpose": "none"}}},
            "recommendation.withdraw", "changes purpose",
        ),
        ({"recommendation": CONSENT, "second": CONSENT}, "second.match", "the same rows as consents.recommendation"),
        ({"recommendation": {**CONSENT, "given": {}}}, "recommendation.given", "empty"),
    ],
)  # fmt: skip
def test_a_consent_that_cannot_be_withdrawn_is_a_fault(consents: object, key: str, reason: str) -> None:
    fault = only_fault(governance(consents=consents))
    assert fault.key == f"consents.{key}"
    assert reason in fault.reason


def test_a_masked_join_column_loses_what_is_reached_through_it() -> None:
    """A parcel's sender leads to nothing, so that may be masked; a customer's number leads to everything."""
    parse_documents(with_collection("shop.parcel", erase={"method": "mask", "fields": {"sender": "null"}}))
    dataset = DATASET.replace("{name: customer_id, fides_meta: {primary_key: true}}", "{name: customer_id}", 1)
    documents = with_collection("shop.customer", erase={"method": "mask", "fields": {"customer_id": "null"}})
    fault = only_fault({**documents, "datasets/shop.yml": dataset})
    assert fault.key == "collections.shop.customer.erase.fields.customer_id"
    assert "could not be found any more" in fault.reason


def test_what_is_found_through_a_confidential_record_would_show_it() -> None:
    """A visit leads to nothing, so that may be confidential; a customer leads to everything."""
    parse_documents(with_collection("shop.visit", confidential=True))
    fault = only_fault(with_collection("shop.customer", confidential=True))
    assert (fault.file, fault.key) == ("governance.yml", "collections.shop.customer.confidential")
    assert "shop.orders" in fault.reason
    assert "follow: false" in fault.remedy


def test_a_key_stated_twice_is_a_fault_with_both_lines() -> None:
    """YAML's reader keeps the last one in silence: a second `shop.visit` would undo the first."""
    again = GOVERNANCE.replace("blockers:\n", "  shop.visit: {class: LOG, erase: {method: delete}}\nblockers:\n")
    with pytest.raises(FaultyMap) as caught:
        parse_documents({**DOCUMENTS, "governance.yml": again})
    (fault,) = [item for item in caught.value.faults if "twice" in item.reason]
    lines = [number for number, line in enumerate(again.splitlines(), 1) if line.startswith("  shop.visit:")]
    assert (fault.key, fault.line) == ("collections.shop.visit", lines[1])
    assert f"first in line {lines[0]}" in fault.reason


def test_a_key_stated_twice_in_one_line_of_a_dataset_is_a_fault() -> None:
    fault = only_fault(with_dataset("- {name: page}", "- {name: page, name: site}"))
    assert (fault.file, fault.key) == ("datasets/shop.yml", "shop.visit.page.name")


def test_what_an_anchor_brings_in_may_be_stated_again() -> None:
    text = GOVERNANCE.replace(
        "shop.orders: {class: TXN, trigger: paid_on, cutoff: made_at, erase: {method: delete}}",
        "shop.orders: &txn {class: TXN, trigger: paid_on, cutoff: made_at, erase: {method: delete}}",
    ).replace("shop.loan: {class: LOAN,", "shop.loan: {<<: *txn, cutoff: null, class: LOAN,")
    parsed = parse_documents({**DOCUMENTS, "governance.yml": text})
    assert parsed.collections["shop.loan"].data_class == "LOAN"


def test_a_dataset_in_two_files_is_a_fault() -> None:
    fault = only_fault({**DOCUMENTS, "datasets/zz.yml": DATASET})
    assert (fault.file, fault.key) == ("datasets/zz.yml", "shop")
    assert "datasets/shop.yml" in fault.reason


def test_a_fault_tells_the_line_of_its_key() -> None:
    fault = only_fault(
        {**DOCUMENTS, "governance.yml": GOVERNANCE.replace("trigger: settled_on", "trigger: settled_at")}
    )
    assert GOVERNANCE.splitlines()[fault.line - 1].startswith("  shop.loan:")
    assert str(fault).startswith(f"governance.yml:{fault.line}: collections.shop.loan: ")


def test_what_leans_on_a_faulty_collection_is_not_told_as_well() -> None:
    """The customer leads to every other collection, the blocker and the consent lean on them: one fault, not eight."""
    assert only_fault(with_collection("shop.customer", **{"class": "KIC"})).key == "collections.shop.customer.class"


def replace_each(value: Any, *, by: object) -> Iterator[Any]:
    """The value once for each place in it, with `by` in that place."""
    yield by
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: changed} for changed in replace_each(inner, by=by))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from ([*value[:number], changed, *value[number + 1 :]] for changed in replace_each(inner, by=by))


def find_faults(documents: dict[str, str]) -> tuple[Fault, ...]:
    try:
        parse_documents(documents)
    except FaultyMap as faulty:
        return faulty.faults
    return ()


@pytest.mark.parametrize("by", [None, "shop.visit", ["x"], {}, {"x": 1}], ids=repr)
def test_whatever_stands_in_a_place_is_read_or_named_as_a_fault(by: object) -> None:
    """A map comes from outside: nothing in it may end in an error that names neither its place nor a remedy.

    JSON is YAML too, and quicker to write.
    """
    for name in DOCUMENTS:
        for changed in replace_each(yaml.safe_load(DOCUMENTS[name]), by=by):
            for fault in find_faults({**DOCUMENTS, name: json.dumps(changed)}):
                assert fault.key, fault
                assert fault.reason.endswith("."), fault
                assert fault.remedy, fault


# --- the shape of governance


def test_every_key_of_the_schema_is_described_in_one_line() -> None:
    def walk(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, inner in schema.get("properties", {}).items():
            yield f"{path}.{name}", inner
            yield from walk(inner, f"{path}.{name}")
        for name in ("items", "additionalProperties"):
            if isinstance(schema.get(name), dict):
                yield from walk(schema[name], path)
        for inner in schema.get("anyOf", ()):
            yield from walk(inner, path)

    Draft202012Validator.check_schema(SCHEMA)
    parts = {"governance": SCHEMA, **SCHEMA["$defs"]}
    keys = [item for name, schema in parts.items() for item in walk(schema, name)]
    assert len(keys) > 60
    texts = {
        key: inner.get("description") or SCHEMA["$defs"][inner["$ref"].split("/")[-1]].get("description", "")
        for key, inner in keys
    }
    assert {key for key, text in texts.items() if not text.endswith(".") or "\n" in text} == set()


def test_the_schema_knows_every_class_and_operator_of_the_engine() -> None:
    """Classes: the table of retention rules in the domain's notes. Operators: those that connectors compile."""
    classes = {"KYC", "TXN", "LOAN", "ACCT", "INS", "INS-LONG", "FUND", "CONS", "LOG", "FILE", "none"}
    assert set(SCHEMA["$defs"]["data_class"]["enum"]) == classes
    assert set(SCHEMA["$defs"]["when"]["items"]["properties"]["op"]["enum"]) == OPERATORS


def test_an_edge_may_join_several_fields() -> None:
    edge = {"from": ["bank.a.x", "bank.a.y"], "to": ["bank.b.x", "bank.b.y"], "follow": False}
    assert list(find_violations({"edges": [edge]})) == []
    (violation,) = find_violations({"edges": [{**edge, "to": []}]})
    assert (violation.path, violation.reason) == (("edges", 0, "to"), "is empty.")


def test_the_keys_for_what_the_law_needs_are_read() -> None:
    collections = yaml.safe_load(GOVERNANCE)["collections"]
    collections["shop.orders"] |= {"trigger": "shop.parcel.sent_on", "primary_key": ["order_id"], "derived": True}
    collections["shop.parcel"] |= {"trigger": "relationship:shop", "anonymised": True}
    collections["shop.loan"] |= {"erase": {"method": "restrict"}, "legal_basis": "interest"}
    systems = {"shop": {"schema": "shop", "entity": "shop", "backup_days": 35}}
    parsed = parse_documents(governance(collections=collections, systems=systems))
    orders, parcel, loan = (parsed.collections[f"shop.{name}"] for name in ("orders", "parcel", "loan"))
    assert (orders.trigger, orders.key_fields, orders.derived) == ("shop.parcel.sent_on", ("order_id",), True)
    assert (parcel.trigger, parcel.trigger_entity, parcel.anonymised, parcel.restrict) == (None, "shop", True, False)
    assert (loan.restrict, loan.legal_basis, loan.basis_kind) == (True, "interest", "interest")
    assert parsed.systems["shop"].backup_days == 35


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"class": "CONS"}, "consent"),
        ({"class": "KYC"}, "law"),
        ({"class": ["INS", {"class": "INS-LONG", "when": [{"field": "page", "op": "not_null"}]}]}, "law"),
        ({"class": "FILE", "consent": None}, "contract"),
        ({"class": "none", "consent": None, "basis": "Ended"}, "contract"),
        ({"class": "none", "consent": None, "basis": "In use", "while": "relationship"}, "contract"),
        ({"class": "FILE", "consent": None, "legal_basis": "interest"}, "interest"),
    ],
)
def test_what_the_processing_rests_on_follows_from_class_consent_and_while(changes: dict[str, Any], kind: str) -> None:
    changes = {"consent": None, **changes}
    parsed = parse_documents(with_collection("shop.visit", **changes))
    assert parsed.collections["shop.visit"].basis_kind == kind


def test_a_blocker_may_name_a_single_collection_and_be_waived() -> None:
    blocker = parse_documents(with_blocker(blocks=["shop.loan", "KYC"], waivable=True)).blockers["BLOCK.LOAN"]
    assert (blocker.blocks, blocker.waivable) == (("shop.loan", "KYC"), True)


def test_a_consent_beside_a_contract_is_no_contradiction() -> None:
    """Withdrawing it ends what is done beyond the contract; the data stays for that."""
    changes = {"class": "LOAN", "consent": "recommendation", "legal_basis": "contract"}
    assert (
        parse_documents(with_collection("shop.orders", **changes)).collections["shop.orders"].basis_kind == "contract"
    )


def test_a_collection_that_governance_leaves_out_is_no_fault_and_says_so() -> None:
    collections = yaml.safe_load(GOVERNANCE)["collections"]
    del collections["shop.parcel"]
    parsed = parse_documents(governance(collections=collections))
    assert parsed.unplanned == (Unplanned("shop.parcel", "Governance does not name it."),)


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
    said = json.loads(capsys.readouterr().out)
    assert (said["collections"], said["systems"], said["faults"]) == (6, 1, [])


@pytest.mark.role("owner")
def test_check_names_a_table_that_the_live_database_does_not_have(shop: Shop, folder: Path) -> None:
    change(folder, "datasets/shop.yml", "name: visit\n", "name: visits\n")
    change(folder, "governance.yml", "shop.visit:", "shop.visits:")
    with pytest.raises(CommandError, match="visits"):
        call_command("datamap", "check", str(folder))


@pytest.mark.role("owner")
def test_check_names_every_column_that_the_live_database_does_not_have(
    shop: Shop, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "datasets/shop.yml", "- {name: page}", "- {name: page}\n          - {name: seen_on}")
    change(folder, "datasets/shop.yml", "- {name: opened_on}", "- {name: opened_on}\n          - {name: colour}")
    with pytest.raises(SystemExit):
        call_command("datamap", "check", str(folder), "--json")
    reasons = " ".join(fault["reason"] for fault in json.loads(capsys.readouterr().out)["faults"])
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
