"""Every dataset of the Fides project parses unchanged; what is reachable can be planned, the rest says why not."""

from pathlib import Path

import pytest
import yaml

from rights.datamap import DataMap, Edge, FaultyMap, Unplanned, parse_documents

FOLDER = Path(__file__).resolve().parents[1] / "datamaps" / "fides"
PUBLISHED = sorted(FOLDER.glob("*/*.yml"))
POSTGRES = FOLDER / "fides-2.78.2" / "postgres_example_test_dataset.yml"
MONGO = FOLDER / "fides-2.78.2" / "mongo_example_test_dataset.yml"


def read(*texts: str, governance: str = "{}") -> DataMap:
    return parse_documents(
        {"governance.yml": governance, **{f"datasets/{number}.yml": text for number, text in enumerate(texts)}}
    )


def make_governance(system: str, *collections: str) -> str:
    return yaml.safe_dump(
        {
            "systems": {system: {"schema": "public", "entity": "shop"}},
            "collections": {
                f"{system}.{name}": {"class": "CONS", "erase": {"method": "delete"}} for name in collections
            },
        }
    )


def reasons(data_map: DataMap) -> dict[str, str]:
    return {item.collection.partition(".")[2]: item.reason for item in data_map.unplanned}


def test_there_is_something_to_parse() -> None:
    assert len(PUBLISHED) == 14
    assert "Apache License 2.0" in (FOLDER / "NOTICE").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_published_dataset_parses_and_every_collection_says_why_it_is_not_planned(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    stated = {
        f"{dataset['fides_key']}.{collection['name']}"
        for dataset in yaml.safe_load(text)["dataset"]
        for collection in dataset["collections"]
    }
    data_map = read(text)
    assert {item.collection for item in data_map.unplanned} == stated
    assert all(item.reason.startswith(("It ", "Governance ")) for item in data_map.unplanned)
    assert data_map.collections == {}


@pytest.mark.parametrize("release", ["fides-2.0.0", "fides-2.78.2"])
def test_what_is_reachable_activates_when_governance_names_it(release: str) -> None:
    """Of the postgres example by hand: customers, their orders, logins and cards, and the addresses all of them use."""
    text = (FOLDER / release / POSTGRES.name).read_text(encoding="utf-8")
    # What this release called a category has another name in the taxonomy of today; an owner may declare it.
    governance = make_governance(
        "postgres_example_test_dataset",
        "customer", "address", "orders", "order_item", "login", "payment_card", "report", "visit",
    ) + "categories: [user.financial.account_number]\n"  # fmt: skip
    data_map = read(text, governance=governance)
    key = "postgres_example_test_dataset."
    ways = {
        (edge.source.removeprefix(key), *edge.source_fields, edge.target.removeprefix(key)) for edge in data_map.edges
    }
    assert ways == {
        ("customer", "id", "orders"),
        ("customer", "id", "login"),
        ("customer", "id", "payment_card"),
        ("customer", "address_id", "address"),
        ("orders", "id", "order_item"),
        ("orders", "shipping_address_id", "address"),
        ("payment_card", "billing_address_id", "address"),
    }  # fmt: skip
    assert reasons(data_map) == dict.fromkeys(
        ("employee", "product", "service_request"), "Governance does not name it."
    )


def test_a_dataset_that_leans_on_another_is_planned_beside_it_only() -> None:
    mongo, postgres = MONGO.read_text(encoding="utf-8"), POSTGRES.read_text(encoding="utf-8")
    assert reasons(read(mongo))["customer_details"] == (
        "It is reached only from postgres_example_test_dataset.customer.id, which no dataset of the map has."
    )
    assert (
        reasons(read(mongo, postgres))["customer_details"] == "Governance names neither it nor the system mongo_test."
    )
    both = yaml.safe_load(make_governance("postgres_example_test_dataset", "customer"))
    other = yaml.safe_load(make_governance("mongo_test", "customer_details"))
    governance = yaml.safe_dump({section: both[section] | other[section] for section in both})
    (edge,) = read(mongo, postgres, governance=governance).edges
    assert edge == Edge(
        "postgres_example_test_dataset.customer", ("id",), "mongo_test.customer_details", ("customer_id",)
    )


def test_what_is_reached_only_inside_another_field_says_so() -> None:
    found = reasons(read(MONGO.read_text(encoding="utf-8")))
    for collection in ("customer_feedback", "internal_customer_profile", "rewards"):
        assert "inside another field" in found[collection]


def test_the_categories_inside_a_field_are_those_of_the_field() -> None:
    governance = make_governance("mongo_test", "employee", "customer_details")
    text = MONGO.read_text(encoding="utf-8").replace("dataset: postgres_example_test_dataset", "dataset: mongo_test")
    text = text.replace("field: customer.id", "field: employee.id")
    fields = {
        field.name: field
        for field in read(text, governance=governance).collections["mongo_test.customer_details"].fields
    }
    assert fields["workplace_info"].categories == ("user.job_title", "user.name")
    # Fides itself reads past these, as they stand one level too deep.
    assert fields["travel_identifiers"].categories == ("system.operations",)


# Shapes that the rest of the project's examples have, in words of our own.
EMAIL = """
dataset:
  - fides_key: nursery
    name: Nursery
    collections:
      - name: guest
        fields:
          - {name: id, fidesops_meta: {primary_key: true}}
          - {name: customer, fidesops_meta: {references: [{dataset: shop, field: customer.id, direction: from}]}}
      - name: child
        fields:
          - {name: guest, fidesops_meta: {references: [{dataset: nursery, field: guest.id, direction: from}]}}
"""
OVERRIDES = """
dataset:
  - fides_key: shop.eu
    name: Shop
    organization_fides_key: default_organization
    tags: null
    meta: null
    data_categories: null
    data_qualifiers: [aggregated]
    third_country_transfers: [GBR]
    retention: 30 days
    fides_meta: {resource_id: shop.1, after: [other.dataset], namespace: {dataset_id: a, project_id: b}}
    collections:
      - name: person
        fides_meta:
          after: [other.address]
          erase_after: [other.address]
          skip_processing: false
          masking_strategy_override: {strategy: delete}
          partitioning: {where_clauses: ["a > 1"]}
        fields:
          - name: mail
            data_categories: [user.contact.email]
            fides_meta: {identity: email, data_type: string, read_only: true, length: 40}
          - {name: phone, fides_meta: {identity: phone_number}}
          - {name: boss, fides_meta: {references: [{dataset: shop.eu, field: person.mail}]}}
          - name: address
            fides_meta: null
            fields:
              - name: house
                data_categories: [user.contact.address.street]
                masking_strategy_override: {strategy: null_rewrite}
                fides_meta:
                  masking_strategy_override: {strategy: string_rewrite, configuration: {rewrite_value: "1"}}
              - {name: site, fides_meta: {custom_request_field: tenant_id, references: null}}
      - name: old.address
        fields:
          - {name: id, fides_meta: {references: [{dataset: shop.eu, field: person.boss, direction: from}]}}
      - name: skipped
        fides_meta: {skip_processing: true}
        fields: [{name: mail, fides_meta: {identity: email}}]
"""
TEMPLATE = """
dataset:
  - fides_key: <instance_fides_key>
    name: Connector
    collections:
      - name: orders
        fields:
          - name: id
            data_categories: [system.operations]
            fides_meta: {data_type: "integer[]", return_all_elements: true}
"""


def test_a_chain_from_a_missing_dataset_says_where_it_breaks() -> None:
    assert reasons(read(EMAIL)) == {
        "guest": "It is reached only from shop.customer.id, which no dataset of the map has.",
        "child": "It is reached only from nursery.guest, which no identity leads to.",
    }


def test_skipped_and_dotted_collections_and_overrides_parse() -> None:
    data_map = read(OVERRIDES)
    assert data_map.unplanned == (
        Unplanned("shop.eu.old.address", "Governance names neither it nor the system shop.eu."),
        Unplanned("shop.eu.person", "Governance names neither it nor the system shop.eu."),
        Unplanned("shop.eu.skipped", "Its dataset says skip_processing."),
    )


def test_a_name_with_dots_belongs_to_the_dataset_that_has_it() -> None:
    data_map = read(OVERRIDES, governance=make_governance("shop.eu", "person"))
    assert data_map.collections["shop.eu.person"].system == "shop.eu"
    assert {field.identity for field in data_map.collections["shop.eu.person"].fields} == {
        "email",
        "phone_number",
        None,
    }


def test_a_template_of_a_connector_parses() -> None:
    (item,) = read(TEMPLATE).unplanned
    assert item == Unplanned("<instance_fides_key>.orders", "It has no identity, and no reference leads to it.")


def test_naming_what_its_dataset_skips_is_a_fault() -> None:
    with pytest.raises(FaultyMap, match="skip_processing"):
        read(OVERRIDES, governance=make_governance("shop.eu", "person", "skipped"))


def test_a_misspelt_identity_that_nothing_is_planned_by_is_no_fault() -> None:
    """A team's map loads unchanged; only what governance names is read to the letter."""
    misspelt = OVERRIDES.replace("identity: email, data_type", "identiy: email, data_type")
    assert read(misspelt).collections == {}
    with pytest.raises(FaultyMap) as caught:
        read(misspelt, governance=make_governance("shop.eu", "person"))
    (fault,) = caught.value.faults
    assert (fault.file, fault.key) == ("datasets/0.yml", "shop.eu.person.mail")
    assert fault.reason == "identiy is not known."
    assert fault.remedy.startswith("Did you mean identity?")


# What examples in the project's own folder use and none above does: nulls for everything, overrides of masks beside
# `fides_meta` and in it, the older `fidesops_meta`, categories of an older taxonomy.
RARE = sorted((FOLDER.parent / "fides_rare").glob("*.yml"))


@pytest.mark.parametrize("path", RARE, ids=lambda path: path.stem)
def test_the_rarer_keys_of_the_format_parse_too(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    stated = {
        f"{dataset['fides_key']}.{collection['name']}"
        for dataset in yaml.safe_load(text)["dataset"]
        for collection in dataset["collections"]
    }
    assert {item.collection for item in read(text).unplanned} == stated
