"""Who may ask for whom. The web role sees the rows of a principal for as long as an unrevoked authority names its user
as agent; whether it covers a kind of request, and today, is decided here."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts.models import Authority, User


def grant_authority(
    *,
    agent: User,
    principal: User,
    kind: str,
    scope: Iterable[str],
    now: datetime,
    valid_until: datetime | None = None,
    proof_note: str = "",
) -> Authority:
    """Record that `agent` may ask for `principal`, after the proof was seen."""
    return Authority.objects.create(
        agent=agent,
        principal=principal,
        kind=Authority.Kind(kind),
        scope=sorted(set(scope)),
        valid_until=valid_until,
        proof_note=proof_note,
        created_at=now,
    )


def principals_for(user: User, now: datetime) -> list[Authority]:
    """The people `user` may ask for at `now`, each with what it covers."""
    return list(
        Authority.objects.filter(
            Q(valid_until=None) | Q(valid_until__gt=now), agent=user, revoked_at=None, principal__is_active=True
        )
        .select_related("principal")
        .order_by("created_at")
    )


class NoAuthority(Exception):
    """The user may not ask for this person. `given` is the authority that does not reach so far; None where there is
    none, which for somebody unknown is the same."""

    def __init__(self, given: Authority | None) -> None:
        super().__init__("No valid authority.")
        self.given = given


def require_authority(*, agent: User, principal_id: UUID, kind: str = "", now: datetime) -> Authority:
    """The authority by which `agent` may ask for this person: for `kind`, or for anything. Raises NoAuthority."""
    held = Authority.objects.filter(
        agent=agent, principal=principal_id, revoked_at=None, principal__is_active=True
    ).select_related("principal")
    given = held.first()  # there is one at most
    if given is None or is_over(given, now) or (kind and kind not in given.scope):
        raise NoAuthority(given)
    return given


def is_over(authority: Authority, now: datetime) -> bool:
    return authority.valid_until is not None and authority.valid_until <= now


def authorities_held(user: User) -> list[Authority]:
    """Whom `user` may act for; those that are over come along."""
    return list(
        Authority.objects.filter(agent=user, revoked_at=None).select_related("principal").order_by("created_at")
    )


def authorities_given(user: User) -> list[Authority]:
    """Who may act for `user`; those that are over come along. For the agents' names see `names_of_agents`."""
    return list(Authority.objects.filter(principal=user, revoked_at=None).order_by("created_at"))


def end_mandate(*, principal: User, authority_id: int, now: datetime) -> bool:
    """End a mandate that `principal` gave; says whether there was one. A guardian's or relative's authority rests on
    the law and not on a mandate, so only staff end it."""
    mandates = Authority.objects.filter(principal=principal, kind=Authority.Kind.AGENT, revoked_at=None)
    return bool(mandates.filter(pk=authority_id).update(revoked_at=now))


def names_of_agents() -> dict[UUID, str]:
    """The masked names of those who act or acted for the signed-in person. Agents' rows are closed to a principal."""
    return {agent.pk: agent.masked_name for agent in User.objects.raw("SELECT id, display_name FROM my_agents()")}
