"""Business databases that say yes and do nothing, hide what is there or take no writes: each is found out, named, and
the work goes on once it is mended. Each by the whole protocol, for erasing and for masking."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import yaml

from rights.actions import review
from rights.actions.datamap import store_documents
from rights.connectors import sql
from rights.connectors.base import Refused
from rights.connectors.registry import check_system
from rights.datamap import load_live_map
from rights.models import Batch, Request
from tests.rights.shop import DOCUMENTS, GOVERNANCE, NOW, Shop, State

pytestmark = pytest.mark.role("worker")
LATER = NOW + timedelta(minutes=30)
MASK = {"method": "mask", "fields": {"page": {"pseudonym": "visitor"}}}
DELETE = {"method": "delete"}
ROLE = "shop_clerk"


@pytest.fixture(params=["delete", "mask"])
def approved(request: pytest.FixtureRequest, shop: Shop) -> Request:
    """A deletion of five visits, by deleting or by masking them, approved and not begun."""
    governance = yaml.safe_load(GOVERNANCE)
    governance["collections"]["shop.visit"]["erase"] = {"delete": DELETE, "mask": MASK}[request.param]
    with shop.as_("owner"):
        store_documents({**DOCUMENTS, "governance.yml": yaml.safe_dump(governance)}, name="shop", now=NOW)
    shop.add_customer()
    shop.add_visits(5)
    return shop.approve(shop.file(), now=NOW)


def untouched(shop: Shop) -> int:
    return shop.count("visit", "page LIKE 'page %%'")


@contextmanager
def lie(shop: Shop, statements: str, undo: str) -> Iterator[None]:
    shop.sql(statements)
    try:
        yield
    finally:
        shop.sql(undo)


def swallowing(body: str, *, when: str = "BEFORE") -> tuple[str, str]:
    """A trigger `swallow` with this body, and how it is taken away."""
    function = f"CREATE FUNCTION shop.swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;"
    trigger = f"CREATE TRIGGER swallow {when} DELETE OR UPDATE ON shop.visit FOR EACH ROW"
    return f"{function} {trigger} EXECUTE FUNCTION shop.swallow()", "DROP FUNCTION shop.swallow CASCADE"


RULES = """CREATE RULE swallow AS ON DELETE TO shop.visit DO INSTEAD NOTHING;
CREATE RULE swallow_too AS ON UPDATE TO shop.visit DO INSTEAD NOTHING"""
LIES = {
    "a trigger that drops the change": swallowing("RETURN NULL;"),
    "a trigger that drops some of the changes": swallowing(
        "IF OLD.visit_id > 2 THEN RETURN NULL; ELSIF TG_OP = 'DELETE' THEN RETURN OLD; ELSE RETURN NEW; END IF;"
    ),
    "a trigger that puts the record back": swallowing(
        "IF pg_trigger_depth() > 1 THEN RETURN NULL; END IF;"
        "DELETE FROM shop.visit WHERE visit_id = OLD.visit_id; INSERT INTO shop.visit VALUES (OLD.*); RETURN NULL;",
        when="AFTER",
    ),
    "a rule that does nothing instead": (
        RULES,
        "DROP RULE swallow ON shop.visit; DROP RULE swallow_too ON shop.visit;",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_system_that_says_yes_and_does_nothing_is_found_out_and_what_did_it_is_named(
    shop: Shop, approved: Request, name: str
) -> None:
    with lie(shop, *LIES[name]):
        request = shop.advance(approved, now=LATER)
        step = shop.step(request, "shop.visit")
        assert (step.state, request.state) == ("dead", State.ACTING)
        assert "reported no error but erased nothing of shop.visit. It has swallow" in step.error
        assert "let the portal's role change these records" in step.error
        # What is reported is what the data says.
        assert step.done == 5 - untouched(shop)
        assert sum(batch.gone or 0 for batch in Batch.objects.filter(step=step)) == step.done
    finished = retry(shop, request)
    assert (finished.state, untouched(shop)) == (State.CLOSED, 0)
    assert shop.step(request, "shop.visit").done == 5


def retry(shop: Shop, request: Request) -> Request:
    review.retry_step(shop.step(request, "shop.visit"), reviewer=shop.reviewer, now=LATER)
    return shop.advance(request, now=LATER)


@pytest.fixture
def as_clerk(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """The shop by a role with the rights that the map needs and no more, while the context lasts."""
    if not shop.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]):
        shop.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'clerk'")
    shop.sql(
        f"GRANT USAGE ON SCHEMA shop TO {ROLE}; GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO {ROLE}"
    )
    parts: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(shop.url)
    address = (
        f"postgresql://{ROLE}:clerk@/{parts['dbname']}?host={quote(str(parts['host']), safe='')}&port={parts['port']}"
    )

    @contextmanager
    def enter() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setenv("SYSTEM_SHOP_URL", address)
            yield
        sql._engine(address).dispose()

    yield enter
    shop.sql(f"ALTER ROLE {ROLE} RESET ALL; REVOKE ALL ON ALL TABLES IN SCHEMA shop FROM {ROLE}")


def said_by_check(reason: str) -> str:
    """The remedy of the one fault that the check finds, with this reason."""
    data_map = load_live_map()
    _, found = check_system("shop", data_map, dataset_file="datasets/shop.yml")
    (fault,) = (finding for finding in found if finding.severity == "fault")
    assert reason in fault.reason
    return fault.remedy


def test_row_level_security_that_hides_rows_from_changes_alone_is_found_out(
    shop: Shop, approved: Request, as_clerk: Callable[[], AbstractContextManager[None]]
) -> None:
    """All rows can be read; a DELETE or UPDATE would touch none of them and report no error."""
    policy = (
        "CREATE POLICY seen ON shop.visit FOR SELECT USING (true);"
        "CREATE POLICY kept ON shop.visit FOR DELETE USING (false);"
        "CREATE POLICY fixed ON shop.visit FOR UPDATE USING (false);"
        "ALTER TABLE shop.visit ENABLE ROW LEVEL SECURITY"
    )
    undo = (
        "ALTER TABLE shop.visit DISABLE ROW LEVEL SECURITY;"
        "DROP POLICY seen ON shop.visit; DROP POLICY kept ON shop.visit; DROP POLICY fixed ON shop.visit"
    )
    with lie(shop, policy, undo), as_clerk():
        request = shop.advance(approved, now=LATER)
        assert request.state == State.ACTING
        assert untouched(shop) == 5
        plan = shop.plan(request)
        assert plan.unknown == ("shop",), "what a policy may hide is not known, and not absent"
        with pytest.raises(Refused, match=r"row-level policy .* BYPASSRLS"):
            sql.open_system("shop", load_live_map()).erase_again("shop.visit", [(1,)])
        assert "BYPASSRLS" in said_by_check("policy hides rows of shop.visit")
    later = LATER + timedelta(minutes=30)
    assert shop.advance(request, now=later).state == State.CLOSED
    assert untouched(shop) == 0


@pytest.mark.parametrize("where", [f"ROLE {ROLE}", f"ROLE {ROLE} IN DATABASE rights_shop"])
def test_a_database_that_takes_no_writes_is_found_out_and_not_talked_out_of_it(
    shop: Shop, approved: Request, as_clerk: Callable[[], AbstractContextManager[None]], where: str
) -> None:
    setting = "default_transaction_read_only"
    with lie(shop, f"ALTER {where} SET {setting} = on", f"ALTER {where} RESET {setting}"), as_clerk():
        request = shop.advance(approved, now=LATER)
        step = shop.step(request, "shop.visit")
        assert (step.state, step.done, untouched(shop)) == ("ready", 0, 5)
        assert "is read-only (25006): name the server that takes writes" in step.error
        assert setting in said_by_check("is read-only for shop_clerk")
    # It may have been so for a while only, so it is tried again by itself.
    assert shop.advance(request, now=LATER + timedelta(hours=1)).state == State.CLOSED
    assert untouched(shop) == 0


def test_a_role_that_may_not_change_records_is_found_out_and_told_how(
    shop: Shop, approved: Request, as_clerk: Callable[[], AbstractContextManager[None]]
) -> None:
    shop.sql(f"REVOKE UPDATE, DELETE ON shop.visit FROM {ROLE}")
    with as_clerk():
        request = shop.advance(approved, now=LATER)
        step = shop.step(request, "shop.visit")
        assert (step.state, step.done, untouched(shop)) == ("dead", 0, 5)
        assert "may not do this. Grant it what manage.py datamap grants lists" in step.error
        remedy = said_by_check("shop_clerk may not")
        shop.sql(remedy)
        assert retry(shop, request).state == State.CLOSED
    assert untouched(shop) == 0
