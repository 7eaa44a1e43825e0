"""Making and filling the business systems: the same each time, safe to repeat and to kill, with no more rights than
needed."""

import json
import stat
from datetime import date
from pathlib import Path

import psycopg
import pytest

from portal.demo import systems as demo_systems
from portal.demo.accounts import person
from portal.demo.book import Book
from portal.demo.crowd import write_crowd
from portal.demo.systems import ENTITIES, create_systems, drop_systems, empty_systems, load_systems
from tests.demo.conftest import PREFIX, TODAY, count_rows
from tests.stack import Stack


def test_the_addresses_are_written_for_their_owner_alone(stack: Stack, tmp_path: Path, systems: dict[str, str]) -> None:
    written = create_systems(admin_url=stack.addresses.database_url, prefix=PREFIX, data_dir=tmp_path)
    systems.update(written)  # new passwords, as this folder knew none
    path = tmp_path / "systems.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == written
    assert set(written) == set(ENTITIES)
    before = path.stat().st_mtime_ns
    again = create_systems(admin_url=stack.addresses.database_url, prefix=PREFIX, data_dir=tmp_path)
    assert again == written
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE loan.extra (id int)",
        "CREATE TABLE public.extra (id int)",
        "TRUNCATE loan.contact",
        "DROP TABLE loan.contact",
        "CREATE ROLE extra",
        "CREATE DATABASE extra",
    ],
)
def test_the_connectors_role_may_change_rows_and_nothing_else(systems: dict[str, str], statement: str) -> None:
    with psycopg.connect(systems["loan"], autocommit=True) as connection:
        connection.execute("UPDATE loan.customer SET phone = phone")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_the_role_of_one_system_cannot_enter_another(systems: dict[str, str]) -> None:
    into_another = systems["loan"].replace(f"@/{PREFIX}loan", f"@/{PREFIX}wallet")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(into_another)


def test_systems_that_were_dropped_are_gone_with_their_roles_even_while_in_use(stack: Stack, tmp_path: Path) -> None:
    server: dict[str, str] = {"admin_url": stack.addresses.database_url, "prefix": "gone_"}
    made = create_systems(**server, data_dir=tmp_path)
    with psycopg.connect(made["loan"]):
        drop_systems(**server, data_dir=tmp_path)
    assert not (tmp_path / "systems.json").exists()
    assert stack.run_sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'gone%'") == []
    assert stack.run_sql("SELECT datname FROM pg_database WHERE datname LIKE 'gone%'") == []
    drop_systems(**server, data_dir=tmp_path)


def test_loading_again_changes_nothing(systems: dict[str, str]) -> None:
    with psycopg.connect(systems["loan"]) as connection:
        connection.execute("DELETE FROM loan.contact")
    again = load_systems(addresses=systems, people=0, today=date(2030, 1, 1))
    assert all(system.already for system in again)
    assert count_rows(systems["loan"], "loan.contact") == 0


def test_a_load_that_was_cut_short_is_finished_by_the_next_one(
    made_systems: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_systems(addresses=made_systems)
    copy = demo_systems._copy

    def copy_until_wallet_payments(*args: object) -> int:
        if args[2] == "payment":
            raise KeyboardInterrupt
        return copy(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(demo_systems, "_copy", copy_until_wallet_payments)
        with pytest.raises(KeyboardInterrupt):
            load_systems(addresses=made_systems, people=0, today=TODAY)
    assert count_rows(made_systems["wallet"], "wallet.customer") == 0
    load_systems(addresses=made_systems, people=0, today=TODAY)
    chen = person("chen-ruolan")
    assert count_rows(made_systems["wallet"], "wallet.customer", "account_no = %s", chen.account_no) == 1
    assert count_rows(made_systems["loan"], "loan.customer", "account_no = %s", chen.account_no) == 1


def test_the_same_seed_writes_the_same_rows_and_another_seed_others() -> None:
    books = []
    for seed in (1, 1, 2):
        book = Book()
        write_crowd(book, people=60, today=TODAY, seed=seed)
        books.append(book.rows)
    assert books[0] == books[1]
    assert books[0] != books[2]


def test_a_crowd_fills_all_seven_systems(made_systems: dict[str, str]) -> None:
    empty_systems(addresses=made_systems)
    loaded = {item.system: item.rows for item in load_systems(addresses=made_systems, people=300, today=TODAY)}
    assert loaded["platform"]["profile"] == 300 + 15
    assert all(sum(loaded[entity].values()) > 50 for entity in ENTITIES)
    # Relationships begin and end; some people share what they paid.
    assert 10 < count_rows(made_systems["wallet"], "wallet.customer", "closed_on IS NOT NULL") < 100
    assert count_rows(made_systems["wallet"], "wallet.family_payment") > 6


def test_chen_ruolans_rows_are_those_of_the_worked_example(systems: dict[str, str]) -> None:
    chen = person("chen-ruolan").account_no

    def count(table: str, where: str = "true", *values: object) -> int:
        system = table.partition(".")[0]
        parent = {"platform": "profile", "loan": "customer", "wallet": "customer"}.get(system, "")
        if table in {f"{system}.{parent}", "wealth.holding"}:
            return count_rows(systems[system], table, f"account_no = %s AND {where}", chen, *values)
        mine = f"{parent}_id = (SELECT {parent}_id FROM {system}.{parent} WHERE account_no = %s)"
        return count_rows(systems[system], table, f"{mine} AND {where}", chen, *values)

    assert count("platform.profile", "closed_on IS NULL") == 1
    assert count("platform.behaviour") == 1200
    assert count("platform.consent", "purpose = 'recommendation' AND granted") == 1
    assert count("loan.customer", "closed_on IS NULL") == 1
    assert count("loan.loan") == 2
    assert count("loan.loan", "settled_on = '2022-11-23' AND balance = 0") == 1
    assert count("loan.loan", "settled_on IS NULL AND balance = 4260.00") == 1
    assert count("loan.repayment") == 30
    assert count("loan.repayment", "paid_on BETWEEN '2021-06-05' AND '2022-11-05' AND contract_no = 'L1'") == 18
    assert count("loan.repayment", "paid_on BETWEEN '2025-12-05' AND '2026-11-05' AND contract_no = 'L2'") == 12
    assert count("loan.contact") == 3
    assert count("loan.face") == 1
    assert count("loan.bureau_report") == count("loan.app_list") == 0
    assert count("wallet.customer", "closed_on = '2021-03-01'") == 1
    assert count("wallet.payment") == 40
    assert count("wallet.payment", "ended_on <= '2021-11-22'") == 15
    assert count("wallet.payment", "ended_on BETWEEN '2021-12-01' AND '2022-02-10'") == 25
    for day in ("2021-11-22", "2021-12-01", "2022-02-10"):
        assert count("wallet.payment", "ended_on = %s", day) == 1
    assert count("wallet.family_payment", "ended_on = '2020-06-01'") == 6
    assert count("wealth.holding", "balance = 0 AND closed_on = '2024-05-01'") == 1
    for system, table in (
        ("platform", "real_name"),
        ("platform", "access_log"),
        ("wealth", "investor"),
        ("micoin", "account"),
    ):
        assert count_rows(systems[system], f"{system}.{table}", "account_no = %s", chen) == 0
