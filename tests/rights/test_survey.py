"""Everybody's plans at once against one person's at a time, on schemas small enough to see through."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from rights.kernel.states import Kind
from rights.survey import CannotSurvey, identity_kind, shape, survey
from tests.rights.zoo import NOW, RULES, Zoo, Zoos

TABLES = """
    CREATE TABLE person (id int PRIMARY KEY, account text);
    CREATE TABLE account (id int PRIMARY KEY, kind text);
    CREATE TABLE owner (person int REFERENCES person, account int REFERENCES account, role text,
        PRIMARY KEY (person, account));
    CREATE TABLE trans (id int PRIMARY KEY, account int REFERENCES account, day date);
    CREATE TABLE loan (id int PRIMARY KEY, account int REFERENCES account, ended date, state text);
    CREATE TABLE note (id int PRIMARY KEY, a text, b text);
    CREATE TABLE folder (id int PRIMARY KEY, person int REFERENCES person, parent int REFERENCES folder, day date);
    INSERT INTO person SELECT n, n::text FROM generate_series(1, 12) n;
    INSERT INTO account SELECT n, 'a' FROM generate_series(1, 14) n;
    INSERT INTO owner SELECT n, n, 'OWNER' FROM generate_series(1, 10) n;
    INSERT INTO owner VALUES (1, 11, 'OWNER'), (2, 11, 'OWNER'), (3, 1, 'USER'), (3, 12, 'OWNER'), (11, 13, 'USER');
    INSERT INTO trans SELECT n, n % 14 + 1, CASE n % 5 WHEN 0 THEN NULL ELSE date '2019-02-28' + n * 13 END
        FROM generate_series(1, 300) n;
    INSERT INTO loan SELECT n, n, date '2019-11-23' + n * 200, CASE WHEN n % 4 = 0 THEN 'open' ELSE 'paid' END
        FROM generate_series(1, 12) n;
    INSERT INTO note VALUES (1, '1', NULL), (2, '1', '2'), (3, NULL, '2'), (4, '3', '3'), (5, NULL, NULL);
    INSERT INTO folder VALUES (1, 1, NULL, '2010-01-01'), (2, 1, 1, '2024-02-29'), (3, 2, NULL, '2010-01-01'),
        (4, 3, 3, '2010-01-01'), (5, 4, NULL, '2010-01-01'), (6, 4, 5, '2010-01-01');
"""
COLLECTIONS: dict[str, dict[str, Any]] = {
    "person": {"fields": ["id", "account, is account_no"], "class": "KYC"},
    "owner": {"fields": ["person, <- person.id", "account, -> account.id", "role"]},
    "account": {"fields": ["id", "kind"], "class": "KYC"},
    "trans": {"fields": ["id", "account, <- account.id", "day"], "class": "TXN", "trigger": "day"},
    "loan": {"fields": ["id", "account, <- account.id", "ended", "state"], "class": "LOAN", "trigger": "ended"},
    "note": {"fields": ["id", "a, is account_no", "b, is account_no"]},
    "folder": {"fields": ["id", "person, <- person.id", "parent", "day"], "class": "TXN", "trigger": "day"},
}
IN_USE = {"class": "none", "basis": "in use", "while": "relationship"}
SECTIONS: dict[str, Any] = {
    "edges": [
        {"from": "zoo.owner.account", "to": "zoo.account.id", "when": [{"field": "role", "op": "eq", "value": "OWNER"}]}
    ],
    "blockers": {
        "BLOCK.LOAN": {
            "in": "zoo.loan",
            "when": [{"field": "state", "op": "eq", "value": "open"}],
            "blocks": ["LOAN", "KYC"],
        },
        "BLOCK.PENDING": {"in": "zoo.trans", "when": [{"field": "day", "op": "gt", "value": "2029-01-01"}]},
    },
    "entities": {
        "zoo": {
            "name": {"zh": "园", "en": "Zoo"},
            "relationship": {"in": "zoo.owner", "when": [{"field": "role", "op": "eq", "value": "USER"}]},
        }
    },
}


def lines(zoo: Zoo) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in survey(kind=Kind.DELETION, identity="account_no", data_map=zoo.data_map, rules=RULES, now=NOW)
    ]


def test_a_line_of_everybody_is_the_plan_of_each(make_zoo: Zoos) -> None:
    zoo = make_zoo(TABLES, {**COLLECTIONS, "owner": {**COLLECTIONS["owner"], **IN_USE}}, **SECTIONS)
    found = lines(zoo)
    assert [line["subject"]["account_no"] for line in found] == [str(n) for n in range(1, 13)]
    for line in found:
        single = shape(zoo.plan(line["subject"]), line["subject"], zoo.data_map)
        assert line == single
    # So that the equality above is no empty one: every fate that can be told is there for somebody.
    told = {name: sum(line["collections"][key][name] for line in found for key in line["collections"])
            for name in ("erase", "hold", "blocked", "person")}  # fmt: skip
    assert all(told.values()), told
    assert {key for line in found for key in line["blockers"]} == {"BLOCK.LOAN", "BLOCK.PENDING"}


def test_a_line_has_every_collection_with_zeros_where_there_is_nothing(make_zoo: Zoos) -> None:
    zoo = make_zoo(TABLES, COLLECTIONS, **SECTIONS)
    last = lines(zoo)[-1]
    assert last["subject"] == {"account_no": "12"}
    assert last["collections"]["zoo.trans"] == {
        **dict.fromkeys(("erase", "mask", "hold", "blocked", "person"), 0),
        **dict.fromkeys(("first_release", "last_release", "rule", "key")),
    }


def test_names_that_json_and_format_would_take_for_their_own_stay_names(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        '''CREATE TABLE "100% ""x""" (id int PRIMARY KEY, account text);
        INSERT INTO "100% ""x""" VALUES (1, '%s "7"')''',
        {'100% "x"': {"fields": ["id", "account, is account_no"]}},
    )
    (line,) = lines(zoo)
    assert line["subject"] == {"account_no": '%s "7"'}
    assert line["collections"]['zoo.100% "x"']["erase"] == 1


def test_masks_are_counted_as_masks(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account text, name text); INSERT INTO t VALUES (1, '7', 'x')",
        {
            "t": {
                "fields": ["id", "account, is account_no", "name"],
                "erase": {"method": "mask", "fields": {"name": "null"}},
            }
        },
    )
    (line,) = lines(zoo)
    assert line == shape(zoo.plan({"account_no": "7"}), {"account_no": "7"}, zoo.data_map)
    assert line["collections"]["zoo.t"]["mask"] == 1


def test_a_map_with_several_identities_says_that_one_has_to_be_named(make_zoo: Zoos) -> None:
    zoo = make_zoo(
        "CREATE TABLE t (id int PRIMARY KEY, account text, phone text)",
        {"t": {"fields": ["id", "account, is account_no", "phone, is phone"]}},
    )
    with pytest.raises(CannotSurvey, match="--by"):
        identity_kind(zoo.data_map)


def folder_of(tmp_path: Path, documents: dict[str, str]) -> Path:
    (tmp_path / "datasets").mkdir()
    for name, text in documents.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.role("worker")
def test_the_command_tells_one_and_all_in_the_same_form(db: None, make_zoo: Zoos, tmp_path: Path) -> None:
    make_zoo("CREATE TABLE t (id int PRIMARY KEY, account text); INSERT INTO t VALUES (1, '7'), (2, '8')", {
        "t": {"fields": ["id", "account, is account_no"]}})  # fmt: skip
    fields = [{"name": "id", "fides_meta": {"primary_key": True}},
              {"name": "account", "fides_meta": {"identity": "account_no"}}]  # fmt: skip
    dataset = {"dataset": [{"fides_key": "zoo", "name": "Zoo", "collections": [{"name": "t", "fields": fields}]}]}
    governance = {
        "systems": {"zoo": {"schema": "zoo", "entity": "zoo"}},
        "collections": {"zoo.t": {"class": "CONS", "erase": {"method": "delete"}}},
    }
    folder = folder_of(
        tmp_path, {"governance.yml": yaml.safe_dump(governance), "datasets/zoo.yml": yaml.safe_dump(dataset)}
    )

    def say(*words: str) -> str:
        out = StringIO()
        call_command("plan", "--map", str(folder), *words, stdout=out)
        return out.getvalue()

    everybody = [json.loads(line) for line in say("--all", "--jsonl").splitlines()]
    assert [line["subject"] for line in everybody] == [{"account_no": "7"}, {"account_no": "8"}]
    assert json.loads(say("--subject", "account_no=7", "--json")) == everybody[0]
    told = say("--subject", "account_no=7", "--explain")
    assert "-- zoo.t: the rest: erase" in told
    assert "SELECT" in told
    assert "'7'" not in told  # the SQL names no value
    with pytest.raises(CommandError, match="--jsonl"):
        say("--all", "--json")
    with pytest.raises(CommandError, match="no day"):
        say("--all", "--jsonl", "--as-of", "soon")
