"""The handling policy: one administrator proposes a version, another approves it; the one in force before is kept."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.permissions import can
from rights.kernel.handling import HandlingPolicy
from rights.models import PolicyVersion


class CannotSet(Exception):
    """A policy that this person cannot set now; `str()` says why."""


def propose_policy(*, rules: Mapping[str, Any], basis: str, proposer: User, now: datetime) -> PolicyVersion:
    """A new version, not in force yet. Raises UnfitPolicy naming the faulty entry, CannotSet where it is not theirs."""
    _require_admin(proposer)
    if not basis.strip():
        raise CannotSet(_("Write why the policy changes."))
    whole = HandlingPolicy.from_json(rules).to_json()
    with transaction.atomic():
        # Versions are few and numbered without gaps: whoever proposes at the same moment waits for the lock.
        list(PolicyVersion.objects.select_for_update().values_list("pk", flat=True))
        number = (PolicyVersion.objects.aggregate(last=Max("version"))["last"] or 0) + 1
        return PolicyVersion.objects.create(
            version=number, rules=whole, basis=basis.strip(), proposed_by=proposer, proposed_at=now
        )


def approve_policy(*, version: int, approver: User, now: datetime) -> PolicyVersion:
    """Put a proposed version into force and end the one before it. Raises CannotSet for one's own proposal, and for one
    that was approved already or overtaken by a later one."""
    _require_admin(approver)
    with transaction.atomic():
        versions = {item.version: item for item in PolicyVersion.objects.select_for_update()}
        chosen = versions.get(version)
        if chosen is None:
            raise CannotSet(_("There is no version %(n)s of the handling policy.") % {"n": version})
        if chosen.proposed_by_id == approver.pk:
            raise CannotSet(_("Another administrator has to approve what you proposed."))
        current = next((item for item in versions.values() if item.in_force), None)
        if chosen.approved_at or (current and current.version > version):
            raise CannotSet(_("This version was approved or overtaken already. Propose it anew."))
        if current:
            PolicyVersion.objects.filter(pk=current.pk).update(in_force=False, ended_at=now)
        PolicyVersion.objects.filter(pk=chosen.pk).update(in_force=True, approved_by=approver, approved_at=now)
        chosen.refresh_from_db()
    return chosen


def _require_admin(user: User) -> None:
    if not can(user, "console.edit"):
        raise CannotSet(_("Only administrators set the handling policy."))
