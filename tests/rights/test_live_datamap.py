"""Coverage, drafts, grants and the command, against real databases: small ones, the bank's and the demo's."""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml
from django.core.management import CommandError, call_command

from rights.actions.datamap import check_map, list_grants, load_map, suggest_map
from rights.connectors.registry import read_system
from rights.connectors.sqlcheck import measure_coverage
from rights.datamap import FaultyMap, live, load_live_map, parse_documents, read_folder
from rights.datamap.parse import parse_mentioned
from rights.models import DataMapVersion
from tests.rights.shop import DOCUMENTS, NOW, Shop
from tests.rights.zoo import Collections, Zoo, Zoos
from tests.stack import Stack

if TYPE_CHECKING:
    from tests.business import Business

BANK = Path(__file__).resolve().parents[1] / "datamaps" / "pkdd99"
DEMO = Path(__file__).resolve().parents[2] / "portal" / "demo" / "datamap"
Say = Callable[..., Any]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a verb with --json and read what it says; `fails=True` where not all is well."""

    def say(*words: str, fails: bool = False) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit) if fails else nullcontext() as stopped:
            call_command("datamap", *words, "--json")
        assert not fails or (stopped and stopped.value.code == 1)
        return json.loads(capsys.readouterr().out)

    return say


# --- coverage

WIDE = """
CREATE TABLE person (id int PRIMARY KEY, account text UNIQUE, name text, phone text);
CREATE TABLE "日志" (id int PRIMARY KEY, ip text);
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE VIEW face AS SELECT * FROM person;
"""


def test_coverage_lists_what_the_datasets_do_not_mention(make_zoo: Zoos) -> None:
    make_zoo(WIDE, {"person": {"fields": ["id, pk", "account, is account_no"]}})
    live = read_system("zoo", schema="zoo")
    found = measure_coverage(live, system="zoo", mentioned={"person": frozenset({"id", "account", "name", "no_more"})})
    assert set(found.missing) == {"person.phone", "日志", "part"}
    assert (found.mentioned, found.columns) == (3, 4 + 2 + 1)  # a view and a partition hold nothing of their own
    assert found.percent == 42.9


def test_a_collection_that_only_the_dataset_has_is_mentioned(make_zoo: Zoos) -> None:
    make_zoo(WIDE, {"person": {"fields": ["id, pk", "account, is account_no"]}})
    dataset = """
    dataset: [{fides_key: zoo, name: Zoo, collections: [
      {name: person, fields: [{name: id, fides_meta: {primary_key: true}}, {name: account, fides_meta: {identity: a}}]},
      {name: 日志, fields: [{name: ip}]}]}]
    """
    governance = (
        "systems: {zoo: {schema: zoo, entity: zoo}}\ncollections: {zoo.person: {class: CONS, erase: {method: delete}}}"
    )
    report = check_map(*parse_mentioned({"governance.yml": governance, "datasets/z.yml": dataset}))
    assert set(report.coverage[0].missing) == {"person.name", "person.phone", "日志.id", "part"}


# --- drafts

DRAFTED = """
CREATE TABLE customer (id int PRIMARY KEY, id_number text UNIQUE, name text, phone text, "手机号" text, misc jsonb,
    closed_on date);
CREATE TABLE product (id int PRIMARY KEY, name text);
CREATE TABLE "order" (no int, shop int, customer int REFERENCES customer, made_on date, PRIMARY KEY (no, shop));
CREATE TABLE line (id int PRIMARY KEY, no int, shop int, product int REFERENCES product, phone text,
    FOREIGN KEY (no, shop) REFERENCES "order" (no, shop));
CREATE TABLE "Payments" (id int PRIMARY KEY, customer int REFERENCES customer, paid_at timestamptz, amount numeric);
CREATE TABLE policy (id int PRIMARY KEY, customer int REFERENCES customer, ended_on date);
CREATE VIEW everyone AS SELECT id FROM customer;
"""


@pytest.fixture
def drafted(make_zoo: Zoos) -> dict[str, Any]:
    make_zoo(DRAFTED, {"customer": {"fields": ["id, pk, is client_id"]}})
    draft = suggest_map(system="zoo", schema="zoo", identities={})
    parts = {name: yaml.safe_load(text) for name, text in draft.documents.items()}
    (dataset,) = parts["datasets/zoo.yml"]["dataset"]
    fields = {(item["name"], field["name"]): field for item in dataset["collections"] for field in item["fields"]}
    return {"governance": parts["governance.yml"], "fields": fields, "todo": draft.todo}


def test_a_draft_has_every_table_and_column_and_no_view(drafted: dict[str, Any]) -> None:
    tables = {"customer", "product", "order", "line", "Payments", "policy"}
    assert {table for table, _ in drafted["fields"]} == tables
    assert ("customer", "手机号") in drafted["fields"]


def test_a_draft_states_keys_references_and_the_identity(drafted: dict[str, Any]) -> None:
    fields = drafted["fields"]
    assert fields["order", "shop"]["fides_meta"] == {"primary_key": True}
    assert fields["customer", "id_number"]["fides_meta"] == {"identity": "id_number"}
    assert fields["Payments", "customer"]["fides_meta"] == {
        "references": [{"dataset": "zoo", "field": "customer.id", "direction": "from"}]
    }


def test_a_draft_states_a_composite_key_as_a_tuple_edge(drafted: dict[str, Any]) -> None:
    assert drafted["governance"]["edges"] == [
        {"from": ["zoo.order.no", "zoo.order.shop"], "to": ["zoo.line.no", "zoo.line.shop"]}
    ]
    assert "fides_meta" not in drafted["fields"]["line", "no"]


def test_a_draft_guesses_categories_from_whole_names_only(drafted: dict[str, Any]) -> None:
    category = {key: field.get("data_categories") for key, field in drafted["fields"].items()}
    assert category["customer", "name"] == ["user.name"]
    assert category["product", "name"] is None, "a product has a name, too"
    assert category["customer", "手机号"] == category["line", "phone"] == ["user.contact.phone_number"]
    assert category["customer", "misc"] is None


def test_a_draft_guesses_a_class_only_where_the_name_is_plain(drafted: dict[str, Any]) -> None:
    governed = {key: (item["class"], item["trigger"]) for key, item in drafted["governance"]["collections"].items()}
    assert governed == {
        "zoo.customer": ("KYC", "closed_on"),
        "zoo.Payments": ("TXN", "paid_at"),
        "zoo.order": ("TODO", None),
        "zoo.policy": ("TODO", None),
        "zoo.line": ("TODO", None),
    }
    assert any("product" in line for line in drafted["todo"]), "what is left out is said"


def drafted_documents(identities: dict[tuple[str, str], str]) -> dict[str, str]:
    return dict(suggest_map(system="zoo", schema="zoo", identities=identities).documents)


def test_a_todo_is_refused_by_name_and_a_draft_without_one_loads(make_zoo: Zoos) -> None:
    tables = """
    CREATE TABLE person (id int PRIMARY KEY, code text, boss int REFERENCES person);
    CREATE TABLE team (id int PRIMARY KEY, lead int REFERENCES person);
    CREATE TABLE member (id int PRIMARY KEY, person int REFERENCES person, team int REFERENCES team);
    ALTER TABLE person ADD team int REFERENCES team;
    """
    make_zoo(tables, {"person": {"fields": ["id, pk", "code, is account_no"]}})
    documents = drafted_documents({("person", "code"): "account_no"})
    with pytest.raises(FaultyMap) as caught:
        parse_documents(documents)
    assert {(fault.file, fault.key) for fault in caught.value.faults} == {
        ("governance.yml", f"collections.zoo.{name}.class") for name in ("person", "team", "member")
    }
    documents["governance.yml"] = documents["governance.yml"].replace("class: TODO", "class: CONS")
    parsed, mentioned = parse_mentioned(documents)
    report = check_map(parsed, mentioned)
    assert report.faults == ()
    assert report.coverage[0].percent == 100
    assert set(parsed.collections) == {"zoo.person", "zoo.team", "zoo.member"}


def test_a_draft_without_any_identity_says_how_to_state_one(make_zoo: Zoos) -> None:
    make_zoo("CREATE TABLE thing (id int PRIMARY KEY, label text);", {"thing": {"fields": ["id, pk, is account_no"]}})
    with pytest.raises(ValueError, match=r"--identity table\.column=kind"):
        suggest_map(system="zoo", schema="zoo", identities={})
    with pytest.raises(ValueError, match=r"thing\.name is no column"):
        suggest_map(system="zoo", schema="zoo", identities={("thing", "name"): "account_no"})
    with pytest.raises(ValueError, match="no schema zo"):
        suggest_map(system="zoo", schema="zo", identities={})


def test_the_banks_draft_reaches_what_its_own_map_does(
    bank: "psycopg.Connection[Any]", tmp_path: Path, say: Say
) -> None:
    """An account is reached through the rights to it, upwards; a district, which is nobody's, is not."""
    folder = tmp_path / "draft"
    said = say(
        "suggest", "pkdd99", "--schema", "pkdd99", "--identity", "client.client_id=client_id", "--out", str(folder)
    )
    assert {Path(name).name for name in said["written"]} == {"governance.yml", "pkdd99.yml"}
    governance = folder / "governance.yml"
    governance.write_text(governance.read_text(encoding="utf-8").replace("class: TODO", "class: KYC"), encoding="utf-8")
    drafted, known = parse_documents(read_folder(folder)), parse_documents(read_folder(BANK))
    assert set(drafted.collections) == set(known.collections)
    assert {(edge.source, edge.target) for edge in drafted.edges} == {
        (edge.source, edge.target) for edge in known.edges
    }
    assert drafted.collections["pkdd99.trans"].data_class == "TXN"
    assert drafted.collections["pkdd99.loan"].trigger == "ends_on"
    assert say("check", str(folder))["faults"] == []
    words = ("suggest", "pkdd99", "--schema", "pkdd99", "--identity", "client.client_id=client_id")
    assert "is there already" in say(*words, "--out", str(folder), fails=True)["error"]


@pytest.mark.parametrize("identity", ["client.client_id", "client_id=client_id", "client.=x", ""])
def test_an_identity_that_is_not_written_right_is_said(say: Say, identity: str) -> None:
    said = say("suggest", "pkdd99", "--schema", "pkdd99", "--identity", identity, fails=True)
    assert "table.column=kind" in said["error"]


# --- grants

ODD = 'zoo "portal" role'


@pytest.fixture
def strict_zoo(make_zoo: Zoos, stack: Stack) -> Iterator[Zoo]:
    tables = """
    CREATE TABLE "Person" (id int PRIMARY KEY, account text UNIQUE, "select" text, secret text);
    CREATE TABLE visit (id int PRIMARY KEY, person int REFERENCES "Person", page text, note text);
    CREATE TABLE payroll (id int PRIMARY KEY, amount int);
    INSERT INTO "Person" VALUES (1, 'A1', 'Chen', 'x'), (2, 'A2', 'Li', 'y');
    INSERT INTO visit VALUES (10, 1, 'home', NULL), (11, 2, 'home', NULL);
    """
    collections: Collections = {
        "Person": {
            "fields": ["id, pk", "account, is account_no", "select"],
            "erase": {"method": "mask", "fields": {"select": "null"}},
        },
        "visit": {"fields": ["id, pk", "person, <- Person.id", "page"]},
    }
    zoo = make_zoo(tables, collections)
    yield zoo
    quoted = '"' + ODD.replace('"', '""') + '"'
    with stack.connect("superuser") as connection:
        database = psycopg.conninfo.conninfo_to_dict(zoo.url)["dbname"]
        with psycopg.connect(zoo.url, autocommit=True) as other:
            other.execute(f"DROP OWNED BY {quoted}".encode())
        connection.execute(f"REVOKE ALL ON DATABASE {database} FROM {quoted}; DROP ROLE {quoted}".encode())


def test_a_role_with_exactly_the_grants_can_plan_and_erase_and_read_nothing_else(
    strict_zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = strict_zoo
    statements = list_grants(zoo.data_map, role=ODD)["zoo"]
    quoted = '"' + ODD.replace('"', '""') + '"'
    zoo.sql(f"CREATE ROLE {quoted} LOGIN PASSWORD 'few'")
    zoo.sql(f"REVOKE ALL ON DATABASE {psycopg.conninfo.conninfo_to_dict(zoo.url)['dbname']} FROM PUBLIC")
    for statement in statements:
        zoo.sql(statement)
    address = psycopg.conninfo.conninfo_to_dict(zoo.url)
    where = f"@/{address['dbname']}?host={address['host']}&port={address['port']}"
    few = f"postgresql://zoo%20%22portal%22%20role:few{where}"
    monkeypatch.setenv("SYSTEM_ZOO_URL", few)

    report = check_map(zoo.data_map, {})
    assert [finding for finding in report.findings if finding.severity == "fault"] == []
    assert zoo.erase({"account_no": "A1"}) == {"visit": 1, "Person": 1}
    assert zoo.sql('SELECT id, "select" FROM zoo."Person" ORDER BY 1') == [(1, None), (2, "Li")]
    assert zoo.sql("SELECT id FROM zoo.visit") == [(11,)]

    forbidden = (
        "SELECT * FROM zoo.payroll",
        'SELECT secret FROM zoo."Person"',
        'DELETE FROM zoo."Person"',
        "UPDATE zoo.\"Person\" SET account = 'B'",
        "UPDATE zoo.visit SET page = 'B'",
        "SELECT note FROM zoo.visit",
        "INSERT INTO zoo.visit VALUES (12, 1, 'x')",
    )
    with psycopg.connect(few, autocommit=True) as connection:
        for query in forbidden:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query.encode())


def test_grants_name_the_role_of_the_address_where_none_is_given(bank: "psycopg.Connection[Any]", say: Say) -> None:
    said = say("grants", str(BANK))["grants"]["pkdd99"]
    assert said[1] == 'GRANT USAGE ON SCHEMA "pkdd99" TO "postgres";'
    assert 'GRANT SELECT, DELETE ON "pkdd99"."order" TO "postgres";' in said
    assert not any("district" in statement for statement in said[2:] if 'ON "pkdd99"."district"' in statement)
    assert 'TO "portal";' in say("grants", str(BANK), "--role", "portal")["grants"]["pkdd99"][0]


def test_grants_of_a_system_without_an_address_name_the_variable(monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    monkeypatch.delenv("SYSTEM_PKDD99_URL", raising=False)
    for verb in (("grants", str(BANK)), ("suggest", "pkdd99", "--schema", "pkdd99")):
        assert "SYSTEM_PKDD99_URL" in say(*verb, fails=True)["error"]


# --- the bank and the demo, end to end


def test_the_banks_map_is_sound_and_leaves_out_the_districts(bank: "psycopg.Connection[Any]", say: Say) -> None:
    said = say("check", str(BANK))
    assert (said["faults"], said["warnings"]) == ([], [])
    (coverage,) = said["coverage"]
    columns = bank.execute(
        "SELECT count(*), count(*) FILTER (WHERE table_name <> 'district') FROM information_schema.columns"
        " WHERE table_schema = 'pkdd99'"
    ).fetchone()
    assert (coverage["columns"], coverage["mentioned"]) == columns
    assert coverage["missing"] == ["district"]


def test_the_banks_map_against_a_bank_that_was_changed(bank: "psycopg.Connection[Any]", say: Say) -> None:
    bank.execute(
        "ALTER TABLE pkdd99.trans DROP COLUMN k_symbol, ALTER date TYPE text;"
        "ALTER TABLE pkdd99.loan DROP CONSTRAINT loan_account_id_fkey, ADD FOREIGN KEY (account_id)"
        " REFERENCES pkdd99.account ON DELETE CASCADE"
    )
    keys = {fault["key"] for fault in say("check", str(BANK), fails=True)["faults"]}
    assert keys == {
        "pkdd99.trans.k_symbol",
        "collections.pkdd99.trans.trigger",
        "collections.pkdd99.trans.cutoff",
        "collections.pkdd99.account.erase",
    }


@pytest.mark.role("owner")
def test_the_demos_map_is_sound_and_mentions_everything(business: "Business", say: Say) -> None:
    said = say("check", str(DEMO))
    assert said["faults"] == []
    systems = parse_documents(read_folder(DEMO)).business_systems
    assert {item["system"]: item["missing"] for item in said["coverage"]} == {system: [] for system in systems}


@pytest.mark.role("owner")
def test_one_system_that_is_away_is_a_fault_and_the_others_are_still_checked(
    business: "Business", monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("SYSTEM_LOAN_URL", "postgresql://loan:secret@127.0.0.1:1/loan")
    said = say("check", str(DEMO), fails=True)
    (fault,) = said["faults"]
    assert fault["key"] == "systems.loan"
    assert "does not answer" in fault["reason"]
    assert "SYSTEM_LOAN_URL" in fault["remedy"]
    assert "secret" not in json.dumps(said)


# --- a change of a live map


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in DOCUMENTS.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "shop"


def loosen(folder: Path) -> None:
    """A change that matters: visits are kept for five years instead of not at all."""
    path = folder / "governance.yml"
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    stated["collections"]["shop.visit"]["class"] = "TXN"
    del stated["blockers"]
    path.write_text(yaml.safe_dump(stated), encoding="utf-8")


@pytest.mark.role("owner")
def test_diff_says_what_loading_would_change_and_changes_nothing(shop: Shop, folder: Path, say: Say) -> None:
    assert say("diff", str(folder), "--name", "shop") == {"name": "shop", "live": True, "changes": []}
    loosen(folder)
    before = load_live_map()
    changes = say("diff", str(folder), "--name", "shop")["changes"]
    assert {(item["section"], item["key"]) for item in changes} >= {
        ("blockers", "BLOCK.LOAN"),
        ("collections", "shop.visit"),
    }
    assert load_live_map() == before
    assert say("diff", str(folder), "--name", "other")["live"] is False


@pytest.mark.role("owner")
def test_a_live_map_that_differs_is_not_replaced_without_a_yes(
    shop: Shop, folder: Path, say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loosen(folder)
    with pytest.raises(CommandError, match="--yes"):
        call_command("datamap", "load", str(folder), "--name", "shop")
    assert "shop.visit" in capsys.readouterr().out, "what would change is shown first"
    assert say("load", str(folder), "--name", "shop", fails=True)["changes"]
    assert load_live_map().collections["shop.visit"].data_class != "TXN"
    said = say("load", str(folder), "--name", "shop", "--yes")
    assert said["changed"] is True
    assert {item["key"] for item in said["changes"]} >= {"BLOCK.LOAN", "shop.visit"}
    assert load_live_map().collections["shop.visit"].data_class == "TXN"


@pytest.mark.role("owner")
@pytest.mark.parametrize(("answer", "is_loaded"), [("yes", True), ("no", False), ("", False)])
def test_a_person_at_the_terminal_is_asked(
    shop: Shop, folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, is_loaded: bool
) -> None:
    loosen(folder)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    if is_loaded:
        call_command("datamap", "load", str(folder), "--name", "shop")
    else:
        with pytest.raises(CommandError):
            call_command("datamap", "load", str(folder), "--name", "shop")
    assert (load_live_map().collections["shop.visit"].data_class == "TXN") is is_loaded


@pytest.mark.role("owner")
def test_a_first_load_and_the_same_map_again_ask_nobody(shop: Shop, folder: Path, say: Say) -> None:
    DataMapVersion.objects.all().delete()
    assert say("load", str(folder))["changed"] is True
    assert say("load", str(folder))["changed"] is False
    assert load_map(folder=folder, name="shop", now=NOW) is False


@pytest.mark.role("owner")
def test_warnings_are_shown_and_do_not_stop_the_loading(
    shop: Shop, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DataMapVersion.objects.all().delete()
    call_command("datamap", "load", str(folder))
    told = capsys.readouterr().out
    assert 'CREATE INDEX ON "shop"."orders" ("customer_id");' in told
    assert "It is the live map shop now." in told


@pytest.mark.role("owner")
def test_a_live_map_that_this_release_cannot_read_any_more_can_be_replaced(shop: Shop, folder: Path, say: Say) -> None:
    DataMapVersion.objects.filter(live=True).update(documents={"governance.yml": "collections: {x: {}}"}, digest="old")
    assert "older release" in say("load", str(folder), "--name", "shop", fails=True)["changes"][0]["before"]
    assert say("load", str(folder), "--name", "shop", "--yes")["changed"] is True


def test_a_folder_that_is_no_map_fails_in_every_verb(tmp_path: Path, say: Say) -> None:
    for verb in ("check", "load", "diff", "grants"):
        (fault,) = say(verb, str(tmp_path), fails=True)["faults"]
        assert fault["key"] == "governance.yml"


def test_a_check_in_words_names_warnings_coverage_and_what_is_left_out(
    bank: "psycopg.Connection[Any]", capsys: pytest.CaptureFixture[str]
) -> None:
    bank.execute("DROP INDEX pkdd99.card_disp_id_idx")
    call_command("datamap", "check", str(BANK))
    told = capsys.readouterr().out
    assert "warning: (database): pkdd99.card.disp_id: refers to pkdd99.disp without an index" in told
    assert 'CREATE INDEX ON "pkdd99"."card" ("disp_id");' in told
    assert "7 collections in 1 systems" in told
    assert "Not mentioned: district." in told


def test_grants_and_drafts_in_words_can_be_piped(
    bank: "psycopg.Connection[Any]", capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("datamap", "grants", str(BANK), "--role", "postgres")
    bank.execute(capsys.readouterr().out.encode())
    call_command("datamap", "suggest", "pkdd99", "--schema", "pkdd99", "--identity", "client.client_id=client_id")
    assert "# --- governance.yml" in capsys.readouterr().out


def test_a_version_that_goes_between_two_looks_is_not_remembered_as_an_empty_map(clean: None) -> None:
    """A process keeps what it has parsed for as long as it runs."""
    with pytest.raises(live._Vanished):
        live._parse((10**6,))
    assert load_live_map().collections == {}
