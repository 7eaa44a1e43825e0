"""The ledger: what the database refuses, and what `verify` finds once somebody has got round the database."""

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from portal.core import keyring, ledger, rls, verify_receipt
from portal.core.models import LedgerEntry, LedgerHead, LedgerLeaf, LedgerNode
from tests.accounts.people import AsRole
from tests.core.test_merkle import mth

RunSql = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[str], "AbstractContextManager[psycopg.Connection[Any]]"]

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def add(chain: UUID, *, count: int = 1, kind: str = "request.submitted") -> list[LedgerEntry]:
    return [
        ledger.append(chain=chain, kind=kind, body={"n": number, "词": "中"}, now=NOW + timedelta(seconds=number))
        for number in range(count)
    ]


def tamper(owner_sql: RunSql, statement: str) -> None:
    """As a superuser who switches off triggers and keys: the one whom the database itself cannot refuse."""
    owner_sql(f"SET session_replication_role = replica; {statement}", role="superuser")


def verify(django_as: AsRole) -> ledger.Report:
    with django_as("owner"):
        return ledger.verify()


def checkpoint(django_as: AsRole) -> LedgerHead | None:
    with django_as("worker"):
        return ledger.checkpoint(now=NOW)


# --- appending


def test_entries_of_one_chain_follow_each_other(db: None) -> None:
    chain = uuid4()
    first, second = add(chain, count=2)
    assert (first.seq, second.seq) == (1, 2)
    assert bytes(first.previous) == ledger.START
    assert bytes(second.previous) == bytes(first.hash)


def test_anyone_can_recompute_an_entry_from_what_it_says(db: None) -> None:
    chain = UUID("00000000-0000-4000-8000-000000000001")
    entry = ledger.append(chain=chain, kind="a.b", body={"z": [1, None, True], "a": "中"}, now=NOW)
    text = f'portal-entry-1\n{chain}\n1\n1795435200000000\na.b\n{"00" * 32}\n{{}}\n{{"a":"中","z":[1,null,true]}}'
    assert bytes(entry.hash) == sha256(text.encode()).digest()


@pytest.mark.parametrize("role", ["web", "staff", "worker"])
def test_every_role_appends_and_reads_the_chain_it_names(django_as: AsRole, role: str) -> None:
    chain = uuid4()
    with django_as("worker" if role == "worker" else "web"):
        rls.acting_as(None, staff=True) if role == "staff" else rls.reset()
        add(chain, count=2)
        assert [entry.seq for entry in ledger.read_chain(chain)] == [1, 2]
        rls.reset()


def test_web_sees_no_chain_that_it_does_not_name(db: None, owner_sql: RunSql) -> None:
    add(uuid4())
    assert not LedgerEntry.objects.exists()
    assert owner_sql("SELECT count(*) FROM core_ledgerentry") == [(1,)]


def test_what_is_rolled_back_leaves_no_entry_and_no_gap(db: None) -> None:
    chain = uuid4()
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        add(chain)
        raise ZeroDivisionError
    assert add(chain)[0].seq == 1


def test_texts_are_refused_where_commitments_belong(db: None) -> None:
    with pytest.raises(ValueError, match="reason"):
        ledger.append(chain=uuid4(), kind="x", body={}, now=NOW, commitments={"reason": "因为"})
    commitment = ledger.commit_to("因为")
    entry = ledger.append(chain=uuid4(), kind="x", body={}, now=NOW, commitments={"reason": commitment.digest})
    assert entry.commitments == {"reason": commitment.digest}
    assert ledger.opens("因为", salt=commitment.salt, digest=commitment.digest)
    assert not ledger.opens("所以", salt=commitment.salt, digest=commitment.digest)
    assert ledger.commit_to("因为").digest != commitment.digest


def test_floats_are_refused_as_programs_write_them_differently(db: None) -> None:
    with pytest.raises(TypeError, match="float"):
        ledger.append(chain=uuid4(), kind="x", body={"amount": 1.5}, now=NOW)  # type: ignore[dict-item]


@pytest.mark.parametrize("role", ["owner", "web", "staff", "worker"])
@pytest.mark.parametrize("table", ["core_ledgerentry", "core_ledgerleaf", "core_ledgernode", "core_ledgerhead"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET hash = hash", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_no_role_changes_or_removes(db: None, as_role: Connect, role: str, table: str, statement: str) -> None:
    statement = statement.replace("hash = hash", "root = root") if table == "core_ledgerhead" else statement
    with as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.format(table))


@pytest.mark.parametrize(("seq", "previous"), [(1, "00" * 32), (3, None), (2, "11" * 32)])
@pytest.mark.parametrize("role", ["web", "staff", "worker", "owner"])
def test_an_entry_out_of_place_is_refused(
    db: None, as_role: Connect, role: str, seq: int, previous: str | None
) -> None:
    chain = uuid4()
    (first,) = add(chain)
    digest = bytes.fromhex(previous) if previous else bytes(first.hash)
    with as_role(role) as connection, connection.transaction(), pytest.raises(psycopg.errors.CheckViolation):  # noqa: PT012
        connection.execute("SELECT set_config('app.chain', %s, true)", [str(chain)])
        connection.execute(
            "INSERT INTO core_ledgerentry (chain, seq, kind, at, body, commitments, previous, hash, xid)"
            " VALUES (%s, %s, 'x', now(), '{}', '{}', %s, %s, '1')",
            [chain, seq, digest, bytes(32)],
        )


def test_web_cannot_add_to_a_chain_it_does_not_name(db: None, as_role: Connect) -> None:
    with as_role("web") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(
            "INSERT INTO core_ledgerentry (chain, seq, kind, at, body, commitments, previous, hash)"
            " VALUES (%s, 1, 'x', now(), '{}', '{}', %s, %s)",
            [uuid4(), bytes(32), bytes(32)],
        )


def test_concurrent_entries_of_one_chain_wait_for_each_other(db: None, owner_sql: RunSql) -> None:
    chain = uuid4()

    def work() -> None:
        add(chain, count=10)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert owner_sql("SELECT count(*), max(seq) FROM core_ledgerentry WHERE chain = %s", [chain]) == [(40, 40)]


def add_elsewhere() -> None:
    add(uuid4())
    connection.close()


def test_chains_do_not_wait_for_each_other(db: None, as_role: Connect) -> None:
    with transaction.atomic():
        add(uuid4())
        # Another connection goes on while this transaction is open.
        other = threading.Thread(target=add_elsewhere)
        other.start()
        other.join(timeout=5)
        assert not other.is_alive()


# --- the tree and its heads


def test_a_checkpoint_numbers_what_is_new_and_signs_it(django_as: AsRole) -> None:
    chain = uuid4()
    add(chain, count=3)
    first = checkpoint(django_as)
    add(chain, count=2)
    second = checkpoint(django_as)
    assert first
    assert second
    assert (first.number, first.size, second.number, second.size) == (1, 3, 2, 5)
    with django_as("owner"):
        hashes = [bytes(value) for value in LedgerLeaf.objects.order_by("number").values_list("hash", flat=True)]
    assert bytes(second.root) == mth(hashes)
    keyring.verify_keys()[second.key].verify(bytes(second.signature), ledger._message_of(second))


def test_a_checkpoint_with_nothing_new_makes_no_head(django_as: AsRole) -> None:
    assert checkpoint(django_as) is None
    add(uuid4())
    assert checkpoint(django_as)
    assert checkpoint(django_as) is None


def test_a_late_commit_is_numbered_by_a_later_checkpoint(django_as: AsRole, as_role: Connect) -> None:
    """Its id is lower than that of entries numbered before it: "above the last id" would never find it."""
    late_chain, quick_chain = uuid4(), uuid4()
    with as_role("worker") as late:
        with late.transaction():
            message = ledger.entry_message(
                chain=str(late_chain), seq=1, at=0, kind="late", previous="00" * 32, commitments="{}", body="{}"
            )
            late.execute(
                "INSERT INTO core_ledgerentry (chain, seq, kind, at, body, commitments, previous, hash)"
                " VALUES (%s, 1, 'late', 'epoch', '{}', '{}', %s, %s)",
                [late_chain, bytes(32), sha256(message).digest()],
            )
            add(quick_chain, count=2)
            checkpoint(django_as)
        head = checkpoint(django_as)
    assert head
    assert head.size == 3
    report = verify(django_as)
    assert report.sound
    assert report.entries == 3
    assert report.unproven == 0


def test_nothing_is_missed_when_transaction_numbers_start_again(django_as: AsRole, owner_sql: RunSql) -> None:
    """As after a restore from a dump into another cluster."""
    chain = uuid4()
    add(chain, count=2)
    checkpoint(django_as)
    tamper(owner_sql, "UPDATE core_ledgerhead SET upto = '999999999999'")
    add(chain, count=2)
    head = checkpoint(django_as)
    assert head
    assert head.size == 4
    add(chain)
    assert checkpoint(django_as)
    assert verify(django_as).sound


def test_every_entry_is_proved_under_the_first_head_that_covers_it(django_as: AsRole) -> None:
    """By the web role, across a kept node: 256 entries are a full subtree."""
    chain, other = uuid4(), uuid4()
    entries = add(chain, count=200)
    first = checkpoint(django_as)
    entries += add(other, count=120)
    second = checkpoint(django_as)
    assert first
    assert second
    with django_as("web"):
        rls.reset()
        for number, entry in enumerate(entries):
            found = ledger.prove(entry)
            assert found
            assert found.index == number
            assert found.head["number"] == (1 if number < 200 else 2)
            leaf = sha256(b"\x00" + bytes(entry.hash)).digest()
            root = verify_receipt.root_of(leaf, index=number, size=found.head["size"], path=found.path)
            assert root == found.head["root"]
        assert ledger.prove_extension(old=1, new=2)
        assert ledger.prove_extension(old=2, new=2) == []
        assert ledger.prove_extension(old=2, new=1) is None
        assert ledger.prove_extension(old=1, new=3) is None


def test_an_entry_that_no_head_covers_has_no_proof_yet(db: None) -> None:
    (entry,) = add(uuid4())
    assert ledger.prove(entry) is None


def test_nodes_are_kept_once_for_each_full_subtree(django_as: AsRole) -> None:
    chain = uuid4()
    for count in (255, 1, 300):
        add_to(chain, count)
        checkpoint(django_as)
    with django_as("owner"):
        hashes = [bytes(value) for value in LedgerLeaf.objects.order_by("number").values_list("hash", flat=True)]
        kept = list(LedgerNode.objects.order_by("number").values_list("level", "number", "hash"))
    assert [(level, number, bytes(digest)) for level, number, digest in kept] == [
        (1, 0, mth(hashes[:256])),
        (1, 1, mth(hashes[256:512])),
    ]


def test_a_proof_that_an_altered_node_makes_wrong_is_not_handed_out(django_as: AsRole, owner_sql: RunSql) -> None:
    chain = uuid4()
    add_to(chain, 257)
    checkpoint(django_as)
    entries = ledger.read_chain(chain)
    assert ledger.prove(entries[256])
    tamper(owner_sql, "UPDATE core_ledgernode SET hash = sha256('forged')")
    assert ledger.prove(entries[256]) is None
    assert ledger.prove(entries[0]), "its path needs no kept node"


def add_to(chain: UUID, count: int) -> None:
    for _ in range(count):
        ledger.append(chain=chain, kind="x", body={}, now=NOW)


def test_two_checkpoints_at_once_make_one_head(django_as: AsRole, as_role: Connect) -> None:
    add(uuid4())
    with as_role("worker") as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s)", [ledger._CHECKPOINT_LOCK])
        assert checkpoint(django_as) is None
    assert checkpoint(django_as)


def test_a_head_that_was_not_exported_is_exported_by_the_next_checkpoint(django_as: AsRole) -> None:
    add(uuid4())
    checkpoint(django_as)
    path = ledger.heads_folder() / "000001.json"
    path.unlink()
    assert checkpoint(django_as) is None
    document = json.loads(path.read_text())
    assert (document["number"], document["size"]) == (1, 1)
    assert verify(django_as).sound


# --- what verify finds


@pytest.fixture
def chains(django_as: AsRole) -> list[UUID]:
    """Three chains of four entries, all under heads."""
    made = [uuid4() for _ in range(3)]
    for _ in range(2):
        for chain in made:
            add(chain, count=2)
        checkpoint(django_as)
    assert verify(django_as) == ledger.Report(entries=12, heads=2, unproven=0, problems=[])
    return made


def test_an_edited_entry_is_found(chains: list[UUID], django_as: AsRole, owner_sql: RunSql) -> None:
    tamper(owner_sql, f"UPDATE core_ledgerentry SET body = '{{}}' WHERE chain = '{chains[1]}' AND seq = 2")
    problems = verify(django_as).problems
    assert problems == [f"Entry 2 of {chains[1]} was edited: its hash is not that of what it says."]


@pytest.mark.parametrize("column", ["kind = 'other'", "at = at + interval '1 second'", "commitments = '{\"a\":1}'"])
def test_an_edit_of_any_column_is_found(chains: list[UUID], django_as: AsRole, owner_sql: RunSql, column: str) -> None:
    tamper(owner_sql, f"UPDATE core_ledgerentry SET {column} WHERE chain = '{chains[0]}' AND seq = 4")
    assert not verify(django_as).sound


def test_an_edited_entry_with_its_hash_made_to_fit_is_found(
    chains: list[UUID], django_as: AsRole, owner_sql: RunSql
) -> None:
    """The last of its chain, so that the chain itself still holds: the tree does not."""
    chain = chains[2]
    with django_as("owner"):
        entry = ledger.read_chain(chain)[-1]
    message = ledger.entry_message(
        chain=str(chain), seq=4, at=ledger.micros(entry.at), kind=entry.kind,
        previous=bytes(entry.previous).hex(), commitments="{}", body='{"forged":true}',
    )  # fmt: skip
    digest = sha256(message).hexdigest()
    tamper(
        owner_sql,
        f"""UPDATE core_ledgerentry SET body = '{{"forged":true}}', hash = '\\x{digest}' WHERE id = {entry.pk};
        UPDATE core_ledgerleaf SET hash = '\\x{digest}' WHERE entry_id = {entry.pk}""",
    )
    problems = verify(django_as).problems
    assert "The tree of 12 entries does not come to head 2." in problems
    assert "The tree of 12 entries does not come to exported head 2." in problems


def test_a_removed_tail_is_found(chains: list[UUID], django_as: AsRole, owner_sql: RunSql) -> None:
    """With all its traces in the database: leaves and head go too. The exported head remains."""
    tamper(
        owner_sql,
        f"""DELETE FROM core_ledgerentry WHERE chain = '{chains[2]}' AND seq > 2;
        DELETE FROM core_ledgerleaf WHERE number >= 10;
        DELETE FROM core_ledgerhead WHERE number = 2""",
    )
    problems = verify(django_as).problems
    assert "Head 2 was exported and is gone from the database." in problems
    assert "The tail was removed: heads were signed over 12 entries, 10 are left." in problems


def test_entries_removed_from_the_middle_are_found(chains: list[UUID], django_as: AsRole, owner_sql: RunSql) -> None:
    tamper(owner_sql, f"DELETE FROM core_ledgerentry WHERE chain = '{chains[0]}' AND seq IN (2, 3)")
    problems = verify(django_as).problems
    assert f"Chain {chains[0]} lacks entry 2 to 3." in problems
    assert sum("was removed" in problem for problem in problems) == 2


def test_a_removed_chain_is_found(chains: list[UUID], django_as: AsRole, owner_sql: RunSql) -> None:
    tamper(owner_sql, f"DELETE FROM core_ledgerentry WHERE chain = '{chains[0]}'")
    assert sum("was removed" in problem for problem in verify(django_as).problems) == 4


def test_swapped_entries_are_found(chains: list[UUID], django_as: AsRole, owner_sql: RunSql) -> None:
    tamper(
        owner_sql,
        f"""UPDATE core_ledgerentry SET seq = 99 WHERE chain = '{chains[0]}' AND seq = 2;
        UPDATE core_ledgerentry SET seq = 2 WHERE chain = '{chains[0]}' AND seq = 3;
        UPDATE core_ledgerentry SET seq = 3 WHERE chain = '{chains[0]}' AND seq = 99""",
    )
    assert len(verify(django_as).problems) >= 2


def test_renumbered_leaves_are_found(chains: list[UUID], django_as: AsRole, owner_sql: RunSql) -> None:
    tamper(
        owner_sql,
        """UPDATE core_ledgerleaf SET number = 99 WHERE number = 1;
        UPDATE core_ledgerleaf SET number = 1 WHERE number = 2;
        UPDATE core_ledgerleaf SET number = 2 WHERE number = 99""",
    )
    assert "The tree of 6 entries does not come to head 1." in verify(django_as).problems


def test_a_forged_head_is_found(chains: list[UUID], django_as: AsRole, owner_sql: RunSql) -> None:
    tamper(owner_sql, "UPDATE core_ledgerhead SET size = 11 WHERE number = 2")
    problems = verify(django_as).problems
    assert "Head 2 in the database is not one that this ledger signed." in problems
    assert "Head 2 differs from its exported copy." in problems


def test_a_forged_export_is_found(chains: list[UUID], django_as: AsRole) -> None:
    path = ledger.heads_folder() / "000001.json"
    path.write_text(path.read_text().replace('"size": 6', '"size": 5'))
    assert "The exported head 000001.json is not one that this ledger signed." in verify(django_as).problems


def test_a_head_signed_anew_over_an_edited_entry_is_found(
    chains: list[UUID], django_as: AsRole, owner_sql: RunSql
) -> None:
    """By somebody who has the database and the signing key, and makes entry, leaves, root and signature all agree: the
    head that was exported before remains."""
    chain = chains[2]
    with django_as("owner"):
        entry = ledger.read_chain(chain)[-1]
    message = ledger.entry_message(
        chain=str(chain), seq=4, at=ledger.micros(entry.at), kind=entry.kind,
        previous=bytes(entry.previous).hex(), commitments="{}", body='{"forged":true}',
    )  # fmt: skip
    digest = sha256(message).hexdigest()
    tamper(
        owner_sql,
        f"""UPDATE core_ledgerentry SET body = '{{"forged":true}}', hash = '\\x{digest}' WHERE id = {entry.pk};
        UPDATE core_ledgerleaf SET hash = '\\x{digest}' WHERE entry_id = {entry.pk}""",
    )
    with django_as("owner"):
        hashes = [bytes(value) for value in LedgerLeaf.objects.order_by("number").values_list("hash", flat=True)]
        head = LedgerHead.objects.get(number=2)
        head.root = mth(hashes)
        signature = keyring.signing_key().sign(ledger._message_of(head)).hex()
    tamper(
        owner_sql,
        f"UPDATE core_ledgerhead SET root = '\\x{mth(hashes).hex()}', signature = '\\x{signature}' WHERE number = 2",
    )
    problems = verify(django_as).problems
    assert "Head 2 differs from its exported copy." in problems
    assert "The tree of 12 entries does not come to exported head 2." in problems


def test_entries_after_the_last_head_are_counted_as_unproven(
    chains: list[UUID], django_as: AsRole, owner_sql: RunSql
) -> None:
    add(chains[0], count=3)
    report = verify(django_as)
    assert report.sound
    assert report.unproven == 3
    tamper(owner_sql, f"DELETE FROM core_ledgerentry WHERE chain = '{chains[0]}' AND seq = 7")
    report = verify(django_as)
    assert report.sound
    assert report.unproven == 2


def test_heads_signed_before_the_key_rotated_still_hold(
    db: None, django_as: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(uuid4())
    checkpoint(django_as)
    keyring.rotate("sign")
    add(uuid4())
    assert checkpoint(django_as)
    assert verify(django_as).sound


def test_heads_hold_after_the_key_that_signed_them_was_retired(
    db: None, django_as: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its private half is gone for good; the public one stays."""
    add(uuid4())
    head = checkpoint(django_as)
    old = keyring.current_version("sign")
    keyring.rotate("sign")
    keyring.retire("sign", old)
    assert head
    assert head.key in keyring.verify_keys()
    assert str(old) not in json.loads((Path(settings.DATA_DIR) / "keyring.json").read_text())["sign"]["keys"]
    assert verify(django_as).sound


def test_the_command_says_what_it_found_and_exits_accordingly(
    chains: list[UUID], django_as: AsRole, owner_sql: RunSql
) -> None:
    add(chains[0])
    out = StringIO()
    with django_as("owner"):
        call_command("ledger", "verify", stdout=out)
    assert "13 entries, 2 heads." in out.getvalue()
    assert "1 entries are newer than the last head" in out.getvalue()
    tamper(owner_sql, f"UPDATE core_ledgerentry SET kind = 'x' WHERE chain = '{chains[0]}' AND seq = 1")
    out = StringIO()
    with django_as("owner"), pytest.raises(SystemExit) as exit_:
        call_command("ledger", "verify", "--json", stdout=out)
    assert exit_.value.code == 1
    document = json.loads(out.getvalue())
    assert document["sound"] is False
    assert document["entries"] == 13
    assert len(document["problems"]) == 1


def test_an_entry_that_cannot_be_written_is_an_error_and_not_a_silence(db: None) -> None:
    with pytest.raises(DatabaseError):
        ledger.append(chain=uuid4(), kind="Not A Kind", body={}, now=NOW)


def test_exported_heads_lie_in_the_data_folder(chains: list[UUID]) -> None:
    names = sorted(path.name for path in (Path(settings.DATA_DIR) / "heads").iterdir())
    assert names == ["000001.json", "000002.json"]
