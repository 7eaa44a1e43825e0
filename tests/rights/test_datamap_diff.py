"""What a changed map changes is said before it is live, the weightiest first."""

import pytest
import yaml

from rights.datamap import Change, DataMap, diff_maps, parse_documents
from tests.rights.shop import DATASET, DOCUMENTS, GOVERNANCE


def change(path: str, value: object, *, dataset: str = DATASET) -> DataMap:
    """The shop's map with one value of its governance replaced; None takes it away. `/` divides the path."""
    stated = yaml.safe_load(GOVERNANCE)
    *way, last = path.split("/")
    here = stated
    for part in way:
        here = here.setdefault(part, {})
    if value is None:
        del here[last]
    else:
        here[last] = value
    return parse_documents({"governance.yml": yaml.safe_dump(stated), "datasets/shop.yml": dataset})


BEFORE = parse_documents(DOCUMENTS)


def test_a_map_does_not_differ_from_itself() -> None:
    assert diff_maps(BEFORE, parse_documents(DOCUMENTS)) == ()


def test_everything_of_a_first_map_is_added() -> None:
    changes = diff_maps(None, BEFORE)
    assert {item.what for item in changes} == {"added"}
    assert sum(item.section == "collections" for item in changes) == 6
    # The edges of the shop: a customer's orders, loans, visits and consents, parcels as sender and as receiver.
    assert sum(item.section == "edges" for item in changes) == 6
    assert Change("edges", "shop.customer.customer_id → shop.parcel.sender", "added") in changes


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("collections/shop.orders/class", "LOAN", ("collections", "shop.orders", "classes", "TXN", "LOAN")),
        ("collections/shop.orders/trigger", "made_at", ("collections", "shop.orders", "trigger", "paid_on", "made_at")),
        ("collections/shop.orders/trigger", None, ("collections", "shop.orders", "trigger", "paid_on", "")),
        (
            "collections/shop.visit/erase", {"method": "mask", "fields": {"page": "null"}},
            ("collections", "shop.visit", "mask", "", "page: null"),
        ),
        (
            "collections/shop.visit/erase", {"method": "restrict"},
            ("collections", "shop.visit", "restrict", "no", "yes"),
        ),
        ("collections/shop.visit/restrict", "register", ("collections", "shop.visit", "register", "no", "yes")),
        ("blockers/BLOCK.LOAN/blocks", ["KYC"], ("blockers", "BLOCK.LOAN", "blocks", "LOAN, KYC", "KYC")),
        (
            "blockers/BLOCK.LOAN/when", [{"field": "balance", "op": "ge", "value": 5}],
            ("blockers", "BLOCK.LOAN", "condition", "shop.loan where balance gt 0", "shop.loan where balance ge 5"),
        ),
        ("systems/shop/backup_days", 30, ("systems", "shop", "backup_days", "0", "30")),
        (
            "entities/shop/service", {"zh": "店", "en": "Store"},
            ("entities", "shop", "service", "商店 / Shop", "店 / Store"),
        ),
        (
            "consents/recommendation/withdraw", {"granted": False},
            ("consents", "recommendation", "withdraw", "granted: no, changed_at: @now", "granted: no"),
        ),
    ],
)  # fmt: skip
def test_a_change_says_its_field_and_both_values(path: str, value: object, expected: tuple[str, ...]) -> None:
    section, key, field, before, after = expected
    assert diff_maps(BEFORE, change(path, value)) == (Change(section, key, "changed", field, before, after),)


def test_a_field_of_a_dataset_is_told_by_itself() -> None:
    dataset = DATASET.replace("{name: name, data_categories: [user.name]}", "{name: name}").replace(
        "- {name: page}", "- {name: page}\n          - {name: referrer, data_categories: [user.behavior]}"
    )
    after = parse_documents({**DOCUMENTS, "datasets/shop.yml": dataset})
    assert diff_maps(BEFORE, after) == (
        Change("collections", "shop.customer", "changed", "fields.name", "name (user.name)", "name"),
        Change("collections", "shop.visit", "changed", "fields.referrer", "", "referrer (user.behavior)"),
    )


def test_an_edge_that_is_not_followed_any_more_is_removed() -> None:
    cut = {"from": "shop.customer.customer_id", "to": "shop.parcel.receiver", "follow": False}
    (only,) = diff_maps(BEFORE, change("edges", [cut]))
    assert str(only) == "edges.shop.customer.customer_id → shop.parcel.receiver: removed"


def test_what_weighs_most_stands_first() -> None:
    stated = yaml.safe_load(GOVERNANCE)
    del stated["blockers"]
    del stated["collections"]["shop.parcel"]
    stated["entities"]["shop"]["name"] = "Corner shop"
    stated["collections"]["shop.orders"] |= {"class": "LOAN", "label": "Purchases", "trigger": "made_at"}
    after = parse_documents({**DOCUMENTS, "governance.yml": yaml.safe_dump(stated)})
    assert [(item.section, item.key, item.what, item.field) for item in diff_maps(BEFORE, after)] == [
        ("collections", "shop.parcel", "removed", ""),
        ("collections", "shop.orders", "changed", "classes"),
        ("collections", "shop.orders", "changed", "trigger"),
        ("collections", "shop.orders", "changed", "label"),
        ("edges", "shop.customer.customer_id → shop.parcel.receiver", "removed", ""),
        ("edges", "shop.customer.customer_id → shop.parcel.sender", "removed", ""),
        ("blockers", "BLOCK.LOAN", "removed", ""),
        ("entities", "shop", "changed", "name"),
        ("entities", "shop", "changed", "service"),
    ]


def test_a_change_reads_as_a_line() -> None:
    (only,) = diff_maps(BEFORE, change("collections/shop.orders/trigger", None))
    assert str(only) == "collections.shop.orders: trigger: paid_on → (none)"
