"""From a draft to a request that the clock runs for."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.authority import NoAuthority, require_authority
from accounts.identities import get_identities
from accounts.models import Authority, User
from rights.datamap import DataMap, load_live_map
from rights.kernel.clock import local_day
from rights.kernel.minors import is_under_fourteen
from rights.kernel.plan import Plan
from rights.kernel.states import Kind, State
from rights.models import Request
from rights.notices import notify
from rights.planning import Matter, make_plan, review_reasons, with_facts
from rights.queries import active_rules, due_of, limit_of, reviewed_collections
from rights.transitions import move

CHILD_FIRST = 1
"""Before every case of its day and earlier days, behind those that are late."""
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


class CannotSubmit(Exception):
    """The request cannot be filed as it is; `str()` says what is wrong and what to do."""


class NotAuthorised(CannotSubmit):
    """The person filing has no valid authority for the subject."""


@dataclass(frozen=True)
class Preview:
    """The live plan of a matter, for a page, before anything is asked."""

    plan: Plan
    data_map: DataMap


def matter_of(request: Request) -> Matter:
    """The matter of a request, as its draft or its submission states it."""
    details: Mapping[str, Any] = request.details
    matter = Matter(
        kind=Kind(request.kind),
        identities=get_identities(request.subject),
        scope_cutoff=request.received_at,
        entities=frozenset(details.get("entities") or ()),
        purposes=frozenset(details.get("purposes") or ()),
        decided=reviewed_collections(request) if request.received_at else {},
        given_up=frozenset(details.get("forfeits") or ()) | frozenset(details.get("waived") or ()),
        portable=bool(details.get("portable")),
    )
    return with_facts(matter, subject=request.subject, request=request)


def matter_for(
    user: User, *, kind: Kind, entities: frozenset[str] = frozenset(), purposes: frozenset[str] = frozenset()
) -> Matter:
    """The matter of a person who has not asked for anything yet."""
    matter = Matter(kind=kind, identities=get_identities(user), entities=entities, purposes=purposes)
    return with_facts(matter, subject=user)


def preview(matter: Matter, *, now: datetime) -> Preview:
    """What would happen if it were asked for now."""
    data_map = load_live_map()
    return Preview(make_plan(matter, data_map=data_map, rules=active_rules(), now=now), data_map)


def start_draft(*, subject: User, filed_by: User, kind: Kind, details: Mapping[str, Any], now: datetime) -> Request:
    """A draft keeps its answers until it is submitted. Raises NotAuthorised for somebody else's matter."""
    _require_authority(subject=subject, filed_by=filed_by, kind=kind, now=now)
    return Request.objects.create(
        kind=kind, subject=subject, filed_by=filed_by, details=dict(details), created_at=now, state=State.DRAFT
    )


def change_draft(request: Request, *, details: Mapping[str, Any]) -> None:
    """Keep new answers; a request that was submitted meanwhile is left as it is."""
    if Request.objects.filter(pk=request.pk, state=State.DRAFT).update(details=dict(details)):
        request.details = dict(details)


def submit(*, request_id: UUID, now: datetime) -> Request:
    """File a draft, once: a second call returns the request as filed.

    The systems are asked before the transaction begins; what they said then is kept with the request.
    """
    request = Request.objects.select_related("subject", "filed_by").get(pk=request_id)
    if request.state != State.DRAFT:
        return request
    kind = Kind(request.kind)
    authority = _require_authority(subject=request.subject, filed_by=request.filed_by, kind=kind, now=now)
    require_complete(request)
    matter = matter_of(request)
    seen = preview(matter, now=now)
    _require_given_up(request, seen)
    child = is_under_fourteen(matter.identities.get("id_number", ""), today=local_day(now))
    guarded = authority is not None and authority.kind == Authority.Kind.GUARDIAN
    first: dict[str, Any] = {"priority": CHILD_FIRST, "review_reasons": ["OK.MINOR"]} if child or guarded else {}
    limit = limit_of(kind, on=local_day(now))
    with transaction.atomic():
        locked = Request.objects.select_for_update(of=("self",)).get(pk=request_id)
        if locked.state != State.DRAFT:
            return locked
        # The relations were read above; the locked row brings the state.
        move(
            request,
            to=State.CHECKING,
            event="submitted",
            now=now,
            actor=request.filed_by,
            body={"kind": kind.value, "records": seen.plan.total},
            reference=make_reference(now),
            received_at=now,
            ready_at=now,
            started_on=local_day(now),
            limit_days=limit.days,
            working_days=limit.working_days,
            plan=seen.plan.to_json(),
            **first,
        )
        due = due_of(request, now=now).on.isoformat()
        notify(user=request.subject, request=request, kind="received", params={"due": due}, now=now)
        notify(user=request.subject, request=request, kind="was_this_you", second_contact=True, now=now)
    return request


def require_complete(request: Request) -> None:
    """Raise CannotSubmit where an answer is missing that the kind needs."""
    details = request.details
    match Kind(request.kind):
        case Kind.CORRECTION if not details.get("items"):
            raise CannotSubmit(_("Choose at least one thing to correct."))
        case Kind.WITHDRAWAL if not details.get("purposes"):
            raise CannotSubmit(_("Choose at least one consent to withdraw."))
        case Kind.CANCELLATION if not details.get("entities"):
            raise CannotSubmit(_("Choose the service to cancel."))


def _require_given_up(request: Request, seen: Preview) -> None:
    """Raise CannotSubmit where something of value would lapse unsaid, or what cannot be given up was.

    A system that is silent may hide such a value; the plan made before anything is closed says so then.
    """
    if request.kind != Kind.CANCELLATION:
        return
    lapsing = {fact.key for fact in seen.plan.blockers if fact.cancel == "forfeit" and fact.entity in seen.plan.closing}
    if lapsing - set(request.details.get("forfeits") or ()):
        raise CannotSubmit(_("Something of value would lapse. Please say whether you give it up."))
    for key in request.details.get("waived") or ():
        stated = seen.data_map.blockers.get(key)
        if stated is None or not stated.waivable:
            raise CannotSubmit(
                _("%(what)s cannot be given up.")
                % {"what": stated.label(get_language() or settings.LANGUAGE_CODE) if stated else key}
            )


def route(request: Request, *, now: datetime) -> None:
    """Send a checked request where it belongs: on by itself, to the desk, or to wait for a fact to clear."""
    plan = Plan.from_json(request.plan) if request.plan else None
    if plan is None or State(request.state) is not State.CHECKING:
        return
    kind = Kind(request.kind)
    if plan.unknown and kind is not Kind.ACCESS:
        # Unknown never counts as clear: look again before anything is decided.
        plan = make_plan(matter_of(request), data_map=load_live_map(), rules=active_rules(), now=now, wait=30)
        Request.objects.filter(pk=request.pk, state=State.CHECKING).update(plan=plan.to_json())
    reasons = review_reasons(plan, kind=kind, needs_evidence=needs_evidence(request))
    noted = [*request.review_reasons, *reasons]  # that it is a child's is known since it was filed
    if kind is Kind.CANCELLATION and plan.waits:
        defer(request, plan=plan, now=now, review_reasons=noted)
    elif reasons:
        move(request, to=State.REVIEW, event="to_review", now=now, body={"reasons": noted}, review_reasons=noted)
    else:
        move(
            request,
            to=State.ACTING,
            event="accepted",
            now=now,
            approved_plan=plan.to_json(),
            approved_at=now,
            act_after=now,
        )


def needs_evidence(request: Request) -> bool:
    """Whether a correction touches the verified identity (PIPL art. 46; decisions: NEED.EVIDENCE)."""
    if request.kind != Kind.CORRECTION:
        return False
    stated = load_live_map().corrections
    return any(stated[item["correction"]].kind == "identity" for item in request.details.get("items", ()))


def defer(request: Request, *, plan: Plan, now: datetime, **fields: Any) -> None:
    """Wait for the facts in the way; the person is told which, and the notice meets the clock."""
    keys = sorted({key for line in plan.lines for key in line.blockers})
    with transaction.atomic():
        move(
            request,
            to=State.DEFERRED,
            event="deferred",
            now=now,
            body={"blockers": keys},
            deferred_at=now,
            check_after=now,
            plan=plan.to_json(),
            **fields,
        )
        notify(user=request.subject, request=request, kind="deferred", once=str(request.round), now=now)


def take_back(request: Request, *, actor: User, now: datetime) -> None:
    """The person changes their mind while it can still stop. Raises CannotSubmit once steps have begun."""
    with transaction.atomic():
        # A round may have started since `request` was read: whoever comes second waits here and sees it.
        begun = Request.objects.select_for_update(of=("self",)).values_list("round", flat=True).get(pk=request.pk)
        if begun or State(request.state) is State.CLOSED:
            raise CannotSubmit(_("This request can no longer be stopped: its changes have begun or it is closed."))
        move(
            request,
            to=State.CLOSED,
            event="taken_back",
            now=now,
            actor=actor,
            closed_at=now,
            closing_key="WITHDRAWN",
            act_after=None,
            check_after=None,
        )
        if request.received_at:
            notify(user=request.subject, request=request, kind="withdrawn", now=now)


def make_reference(now: datetime) -> str:
    """Such as DSR-261123-7K4QX: the day, and five random characters that cannot be guessed from a neighbour's."""
    return f"DSR-{local_day(now):%y%m%d}-" + "".join(secrets.choice(_ALPHABET) for _ in range(5))


def _require_authority(*, subject: User, filed_by: User, kind: Kind, now: datetime) -> Authority | None:
    """By what somebody else's matter is filed; None for one's own. Raises NotAuthorised."""
    if subject.pk == filed_by.pk:
        return None
    try:
        return require_authority(agent=filed_by, principal_id=subject.pk, kind=kind, now=now)
    except NoAuthority as error:
        raise NotAuthorised(_("There is no valid authorisation to ask for this person.")) from error
