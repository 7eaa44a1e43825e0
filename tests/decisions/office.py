"""The demo's people and one reviewer, whose requests are carried through by the public actions in this process."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from accounts.models import User
from portal.demo.business import do_deed, find_chances
from rights.actions import fulfil, review
from rights.actions.submit import matter_of, start_draft, submit
from rights.datamap import DataMap, load_live_map
from rights.kernel.plan import Fate, Plan
from rights.kernel.states import Kind
from rights.models import Request
from rights.planning import Matter, make_plan
from rights.queries import active_rules
from tests.business import TODAY, Business
from tests.unpacking import open_package, read_manifest

NOW = TODAY
LATER = NOW + timedelta(minutes=15)  # the undo period is over


@dataclass
class Office:
    business: Business

    def person(self, key: str) -> User:
        found = User.objects.find_by("account_no", self.business.account(key).login)
        assert found is not None
        return found

    @property
    def reviewer(self) -> User:
        return self.person("support-zhao")

    @property
    def data_map(self) -> DataMap:
        return load_live_map()

    def plan(self, key: str, kind: Kind = Kind.DELETION, *, now: datetime = NOW, **matter: Any) -> Plan:
        """The live plan of one of the demo's people."""
        asked = Matter(kind=kind, identities=self.business.account(key).identities, **matter)
        return make_plan(asked, data_map=self.data_map, rules=active_rules(), now=now, wait=30)

    def file(self, key: str, kind: Kind, *, now: datetime = NOW, **details: Any) -> Request:
        """A request of theirs, submitted and taken as far as it goes by itself."""
        person = self.person(key)
        draft = start_draft(subject=person, filed_by=person, kind=kind, details=details, now=now)
        return self.advance(submit(request_id=draft.pk, now=now), now=now)

    def advance(self, request: Request, *, now: datetime) -> Request:
        fulfil.advance(request_id=request.pk, now=now)
        return self.look(request)

    def approve(self, request: Request, *, now: datetime = NOW, lines: Mapping[str, str] | None = None) -> Request:
        """Approved on the plan as it is now and carried out once the undo period is over."""
        # As a page shows it, with more patience: a test machine may be slow.
        plan = make_plan(matter_of(request), data_map=self.data_map, rules=active_rules(), now=now, wait=30)
        settled = {line.collection: "keep" for line in plan.of(Fate.PERSON)} | dict(lines or {})
        review.approve(
            request, reviewer=self.reviewer, key="OK.PURPOSE_END", text="", lines=settled, plan=plan, now=now
        )
        return self.advance(self.look(request), now=now + timedelta(minutes=15))

    @staticmethod
    def look(request: Request) -> Request:
        return Request.objects.select_related("subject", "filed_by", "reviewer").get(pk=request.pk)

    def settle(self, key: str, deed: str, *, now: datetime = NOW) -> None:
        """What a company does in its own system: every loan repaid, every balance paid out."""
        identities = self.business.account(key).identities
        for chance in find_chances(identities)[0]:
            if chance.deed.key == deed:
                assert do_deed(key=deed, row=chance.row, identities=identities, today=now.date())

    def package(self, request: Request) -> zipfile.ZipFile:
        """The package of an access request, opened."""
        return open_package(request)

    def manifest(self, request: Request) -> dict[str, Any]:
        return read_manifest(self.package(request))


def fates(plan: Plan) -> dict[str, dict[Fate, int]]:
    """By collection, how many records have which fate."""
    found: dict[str, dict[Fate, int]] = {}
    for line in plan.lines:
        if line.count:
            found.setdefault(line.collection, {})[line.fate] = line.count
    return found


def keys(plan: Plan, *collections: str) -> dict[str, set[str]]:
    """By collection, the reasons that its lines carry."""
    found: dict[str, set[str]] = {}
    for line in plan.lines:
        if line.count and (not collections or line.collection in collections):
            found.setdefault(line.collection, set()).add(line.key)
    return found
