"""Two administrators who make rules and exceptions, as the staff role, and the shipped rules put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from accounts.models import User
from portal.core import rls
from rights.actions import exceptions, retention
from rights.actions.exceptions import ExceptionDraft
from rights.actions.retention import RuleDraft
from rights.kernel.retention import Effect
from rights.models import RetentionException, RetentionRule
from tests.rights.shop import NOW, Shop

PUT_BACK = "INSERT INTO rights_retentionrule SELECT * FROM json_populate_record(NULL::rights_retentionrule, %s)"


@dataclass
class Rulebook:
    shop: Shop
    first: User
    second: User
    shipped: list[tuple[Any, ...]] = field(default_factory=list)

    @contextmanager
    def as_staff(self) -> Iterator[None]:
        """As a page of the console runs: the web role's connection with the staff role taken."""
        with self.shop.as_("web"), rls.speaking_for(self.first.pk, staff=True):
            yield

    def propose(self, code: str, *, now: datetime = NOW, **fields: Any) -> RetentionRule:
        stated: dict[str, Any] = {
            "data_classes": ("TXN",), "duration": "P7Y", "citation": "a law", "trigger": "the end of the transaction",
            "effective_from": date(2026, 1, 1),
        }  # fmt: skip
        with self.as_staff():
            return retention.propose(RuleDraft(code=code, **{**stated, **fields}), actor=self.first, now=now)

    def activate(self, rule: RetentionRule | str, *, now: datetime = NOW) -> RetentionRule:
        """A proposal, or a shipped one by its code, made active by both."""
        with self.as_staff():
            row = RetentionRule.objects.get(code=rule, version=1) if isinstance(rule, str) else rule
            if row.proposed_by_id is None:
                retention.adopt(row, actor=self.first, now=now)
            seen = retention.preview_activation(row, now=now)
            retention.activate(row, actor=self.second, seen=seen, now=now)
        return row

    def draft(self, effect: Effect = Effect.SUSPEND, **fields: Any) -> ExceptionDraft:
        stated: dict[str, Any] = {
            "basis": "民事诉讼法", "evidence": "（2026）京 01 民初 1 号", "expires_on": date(2028, 6, 30)
        }  # fmt: skip
        return ExceptionDraft(effect=effect, **{**stated, **fields})

    def except_(self, draft: ExceptionDraft, *, now: datetime = NOW) -> RetentionException:
        """Proposed by one and approved by the other."""
        with self.as_staff():
            row = exceptions.propose(draft, actor=self.first, now=now)
            seen = exceptions.preview(row, now=now)
            exceptions.approve(row, actor=self.second, seen=seen, now=now)
        return row

    def put_back(self) -> None:
        with self.shop.stack.connect("superuser") as connection, connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute("DELETE FROM rights_retentionrule")
            for row in self.shipped:
                connection.execute(PUT_BACK, row)


def open_rulebook(shop: Shop) -> Rulebook:
    with shop.as_("owner"):
        first, second = (
            User.objects.create_user(
                account_no=number, password=None, display_name=name, role="admin", email=f"{number}@mail.example",
                confidential=True, now=NOW,
            )
            for number, name in (("910001", "管理员甲"), ("910002", "管理员乙"))
        )  # fmt: skip
    with shop.stack.connect("superuser") as connection:
        shipped = connection.execute("SELECT row_to_json(r)::text FROM rights_retentionrule r").fetchall()
    return Rulebook(shop=shop, first=first, second=second, shipped=shipped)
