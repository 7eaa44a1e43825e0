"""The demo's data map is true to its databases, to the Fides format and to the policy's inventory."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from fideslang.default_taxonomy import DEFAULT_TAXONOMY
from fideslang.models import Dataset, FidesMeta

from portal.demo.accounts import PEOPLE
from portal.demo.book import Book
from portal.demo.stories import write_stories
from portal.demo.systems import ENTITIES
from rights.datamap import DataMap, parse_documents, read_folder
from rights.kernel.decisions import REASONS
from tests.demo.conftest import TODAY, map_folder

BANK = Path(__file__).resolve().parents[1] / "datamaps" / "pkdd99"
PRODUCTS = [*(str(row) for row in range(1, 8)), "8a", "8b", "8c", "8d", *(str(row) for row in range(9, 21))]


@pytest.fixture(scope="module")
def data_map() -> DataMap:
    return parse_documents(read_folder(map_folder()))


def datasets(folder: Path) -> list[dict[str, Any]]:
    return [
        body
        for path in sorted((folder / "datasets").glob("*.yml"))
        for body in yaml.safe_load(path.read_text(encoding="utf-8"))["dataset"]
    ]


@pytest.mark.parametrize("folder", [map_folder(), BANK], ids=["demo", "bank"])
def test_every_dataset_is_fides_and_loses_no_key_in_the_model(folder: Path) -> None:
    for body in datasets(folder):
        model = Dataset.model_validate(body)
        collections = {item.name: item for item in model.collections}
        for raw in body["collections"]:
            collection = collections[raw["name"]]
            assert set(raw) <= set(type(collection).model_fields)
            fields = {field.name: field for field in collection.fields}
            for item in raw["fields"]:
                assert set(item) <= {"name", "data_categories", "fides_meta"}
                assert set(item.get("fides_meta") or {}) <= set(FidesMeta.model_fields)
                assert bool(fields[item["name"]].fides_meta) == ("fides_meta" in item)


@pytest.mark.parametrize("folder", [map_folder(), BANK], ids=["demo", "bank"])
def test_every_data_category_is_one_of_the_default_taxonomy(folder: Path) -> None:
    known = {str(category.fides_key) for category in DEFAULT_TAXONOMY.data_category}
    used = {
        category
        for body in datasets(folder)
        for collection in body["collections"]
        for field in collection["fields"]
        for category in field.get("data_categories", ())
    }
    assert used <= known


@pytest.mark.parametrize("entity", ENTITIES)
def test_the_datasets_name_every_table_column_and_key_of_the_databases(
    entity: str, data_map: DataMap, systems: dict[str, str]
) -> None:
    stated = {item.name: item for item in data_map.of_system(entity)}
    with psycopg.connect(systems[entity]) as connection:
        columns = connection.execute(
            "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns"
            " WHERE table_schema = %s GROUP BY 1",
            [entity],
        ).fetchall()
        keys = connection.execute(
            "SELECT t.relname || '.' || a.attname, f.relname || '.' || b.attname FROM pg_constraint c"
            " JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid"
            " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1]"
            " JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = c.confkey[1]"
            " WHERE c.contype = 'f' AND c.confdeltype = 'a'"
        ).fetchall()
    assert {name: set(found) for name, found in columns} == {
        name: {field.name for field in item.fields} for name, item in stated.items()
    }
    edges = {
        (
            f"{edge.target.partition('.')[2]}.{edge.target_fields[0]}",
            f"{edge.source.partition('.')[2]}.{edge.source_fields[0]}",
        )
        for edge in data_map.edges
        if edge.source.startswith(f"{entity}.")
    }
    stated_only = edges - {(child, parent) for child, parent in keys}
    # Named by number alone, so that a payment kept for its other owner keeps no customer: see schema/wallet.sql.
    assert {child.partition(".")[0] for child, _ in stated_only} <= {"family_payment"}
    assert {(child, parent) for child, parent in keys} <= edges


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_foreign_key_and_identity_column_has_an_index(
    entity: str, data_map: DataMap, systems: dict[str, str]
) -> None:
    asked = {
        (item.name, field.name) for item in data_map.of_system(entity) for field in item.fields if field.identity
    } | {
        (edge.target.partition(".")[2], edge.target_fields[0])
        for edge in data_map.edges
        if edge.target.startswith(f"{entity}.")
    }
    with psycopg.connect(systems[entity]) as connection:
        indexed = connection.execute(
            "SELECT t.relname::text, a.attname::text FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid"
            " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]"
        ).fetchall()
    assert asked <= set(indexed)


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_product_row_has_a_collection_and_a_named_person_with_rows_in_it(product: str, data_map: DataMap) -> None:
    book = Book()
    write_stories(book, today=TODAY)
    collections = [item for item in data_map.collections.values() if product in item.products and not item.confidential]
    assert collections
    assert any(book.rows.get(item.key) for item in collections)


def test_no_collection_is_of_a_product_that_the_inventory_lacks(data_map: DataMap) -> None:
    assert {product for item in data_map.collections.values() for product in item.products} == set(PRODUCTS)


def test_every_collection_says_its_purpose_and_every_consent_one_is_tied_to_a_consent(data_map: DataMap) -> None:
    for item in data_map.collections.values():
        assert item.purpose.zh
        assert item.purpose.en
        assert bool(item.consent) == (item.data_class == "CONS"), item.key


def test_blockers_and_erasures_have_reason_texts(data_map: DataMap) -> None:
    assert {key for key, item in data_map.blockers.items() if item.cancel != "forfeit"} <= set(REASONS)
    assert {item.erase_key for item in data_map.collections.values()} <= set(REASONS)


def test_every_entity_has_a_relationship_that_closing_ends(data_map: DataMap) -> None:
    for entity in ENTITIES:
        relationship = data_map.entities[entity].relationship
        assert relationship
        ended = {predicate.field for predicate in relationship.when if predicate.op == "is_null"}
        assert ended <= set(data_map.collections[relationship.collection].close)


def test_only_people_with_no_rows_are_left_out_of_the_systems() -> None:
    book = Book()
    write_stories(book, today=TODAY)
    written = {row.get("account_no") for rows in book.rows.values() for _, row in rows}
    written |= {row.get("id_number") for _, row in book.rows["insurance.policyholder"]}
    assert [account.name for account in PEOPLE if account.login not in written] == ["许安然"]


def test_the_banks_map_takes_a_disponents_right_but_not_the_accounts_records() -> None:
    bank = parse_documents(read_folder(BANK))
    edges = {(edge.source, edge.target): edge for edge in bank.edges}
    assert [(item.field, item.op, item.value) for item in edges["pkdd99.disp", "pkdd99.account"].when] == [
        ("type", "eq", "OWNER")
    ]
    assert not edges["pkdd99.client", "pkdd99.disp"].when
    assert not edges["pkdd99.disp", "pkdd99.card"].when
    assert "pkdd99.district" not in bank.collections
    assert {key: item.data_class for key, item in bank.collections.items()} == {
        "pkdd99.client": "KYC",
        "pkdd99.disp": "KYC",
        "pkdd99.account": "KYC",
        "pkdd99.trans": "TXN",
        "pkdd99.loan": "LOAN",
        "pkdd99.order": "none",
        "pkdd99.card": "none",
    }
