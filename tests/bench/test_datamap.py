"""A map of 500 collections against the bare reading of its YAML. Prints ratios, asserts none."""

import time
from typing import Any

import pytest
import yaml

from rights.datamap import parse_documents

pytestmark = pytest.mark.slow
COLLECTIONS = 500
FIELDS = 9  # beside a key, a reference and a date


def make_documents() -> dict[str, str]:
    """A tree of collections: each below another, four to one."""
    collections: list[dict[str, Any]] = [
        {
            "name": "c0",
            "fields": [
                {"name": "id", "fides_meta": {"primary_key": True}},
                {"name": "account", "fides_meta": {"identity": "account_no"}},
                {"name": "at"},
            ],
        }
    ]
    for number in range(1, COLLECTIONS):
        above = {"dataset": "big", "field": f"c{(number - 1) // 4}.id", "direction": "from"}
        collections.append(
            {
                "name": f"c{number}",
                "fields": [
                    {"name": "id", "fides_meta": {"primary_key": True}},
                    {"name": "above", "fides_meta": {"references": [above]}},
                    {"name": "at"},
                    *({"name": f"f{place}", "data_categories": ["user.name"]} for place in range(FIELDS)),
                ],
            }
        )
    governance = {
        "systems": {"big": {"schema": "big", "entity": "big"}},
        "collections": {
            f"big.{item['name']}": {
                "label": {"zh": "资料", "en": "Data"},
                "purpose": {"zh": "用途", "en": "Use"},
                "product": ["1"],
                "class": "TXN",
                "trigger": "at",
                "cutoff": "at",
                "erase": {"method": "delete"},
                "recipients": [{"zh": "银行", "en": "Banks"}],
            }
            for item in collections
        },
    }
    datasets = {"dataset": [{"fides_key": "big", "name": "Big", "collections": collections}]}
    return {
        "governance.yml": yaml.safe_dump(governance, allow_unicode=True),
        "datasets/big.yml": yaml.safe_dump(datasets),
    }


def test_a_map_of_500_collections_against_bare_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    documents = make_documents()
    times: dict[str, float] = {"bare YAML": 9.0, "map": 9.0}
    for _ in range(5):
        begun = time.process_time()
        for text in documents.values():
            yaml.load(text, Loader=yaml.CSafeLoader)
        times["bare YAML"] = min(times["bare YAML"], time.process_time() - begun)
        begun = time.process_time()
        assert len(parse_documents(documents).collections) == COLLECTIONS
        times["map"] = min(times["map"], time.process_time() - begun)
    with capsys.disabled():
        ratio = times["map"] / times["bare YAML"]
        print(f"\nmap of {COLLECTIONS} collections: {times['map']:.2f} s, {ratio:.1f}× of its bare YAML")
