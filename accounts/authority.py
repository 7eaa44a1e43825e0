"""Who may ask for whom. The web role sees the rows of a principal for as long as an unrevoked authority names its user
as agent; whether it covers a kind of request, and today, is decided here."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q, QuerySet

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


def authorities_of(user: User, now: datetime) -> QuerySet[Authority]:
    """The authorities `user` holds at `now`."""
    return (
        Authority.objects.filter(
            Q(valid_until=None) | Q(valid_until__gt=now), agent=user, revoked_at=None, principal__is_active=True
        )
        .select_related("principal")
        .order_by("created_at")
    )


def principals_for(user: User, now: datetime) -> list[Authority]:
    """The people `user` may ask for at `now`, each with what it covers."""
    return list(authorities_of(user, now))


def may_ask_for(*, agent: User, principal: User, kind: str, now: datetime) -> bool:
    """Whether `agent` may make a request of `kind` for `principal`: their own, or one that an authority covers."""
    if agent.pk == principal.pk:
        return True
    return any(kind in authority.scope for authority in authorities_of(agent, now).filter(principal=principal))
