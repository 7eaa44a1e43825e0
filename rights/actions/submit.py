"""From a draft to a request that the clock runs for."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.authority import NoAuthority, require_authority
from accounts.identities import get_identities
from accounts.models import Authority, User
from portal.core import rows
from rights.actions.disowning import stop_link
from rights.datamap import DataMap
from rights.kernel import handling
from rights.kernel.clock import SHANGHAI, local_day
from rights.kernel.minors import is_under_fourteen
from rights.kernel.plan import Plan
from rights.kernel.retention import add_months
from rights.kernel.states import Kind, State
from rights.models import Fee, Request, Step
from rights.notices import notify
from rights.planning import Matter, make_plan, with_facts
from rights.queries import Law, due_of, entities_of, limit_of, reviewed_collections
from rights.transitions import StaleRequest, move

ONLINE = "online"
CHANGING = ("erase", "mask", "correct", "consent", "stop", "close", "release")
"""Steps after which a copy of a person's data is no longer the one they were given."""
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
    """The matter of a request, with the facts that the portal keeps now."""
    return with_facts(stated_matter(request), subject=request.subject, request=request)


def stated_matter(request: Request) -> Matter:
    """The matter of a request, as its draft or its submission states it."""
    details: Mapping[str, Any] = request.details
    return Matter(
        kind=Kind(request.kind),
        identities=get_identities(request.subject),
        scope_cutoff=request.received_at,
        entities=entities_of(request),
        purposes=frozenset(details.get("purposes") or ()),
        decided=reviewed_collections(request) if request.received_at else {},
        given_up=frozenset(details.get("forfeits") or ()) | frozenset(details.get("waived") or ()),
        portable=bool(details.get("portable")),
    )


def matter_for(
    user: User, *, kind: Kind, entities: frozenset[str] = frozenset(), purposes: frozenset[str] = frozenset()
) -> Matter:
    """The matter of a person who has not asked for anything yet."""
    matter = Matter(kind=kind, identities=get_identities(user), entities=entities, purposes=purposes)
    return with_facts(matter, subject=user)


def preview(matter: Matter, *, now: datetime, law: Law | None = None) -> Preview:
    """What would happen if it were asked for now."""
    law = law or Law()
    return Preview(make_plan(matter, data_map=law.data_map, rules=law.rules, now=now), law.data_map)


def start_draft(
    *, subject: User, filed_by: User, kind: Kind, details: Mapping[str, Any], now: datetime, channel: str = ONLINE
) -> Request:
    """A draft keeps its answers until it is submitted. Somebody else's matter needs no proof before it is filed.

    What came by letter or call is entered by staff; for anybody else another `channel` raises NotAuthorised.
    """
    if (channel != ONLINE) != filed_by.is_staff_role:
        raise NotAuthorised(_("Staff enter what came by letter or call; everybody else files online."))
    return Request.objects.create(
        kind=kind,
        subject=subject,
        filed_by=filed_by,
        details=dict(details),
        created_at=now,
        state=State.DRAFT,
        channel=channel,
    )


def change_draft(request: Request, *, details: Mapping[str, Any]) -> None:
    """Keep new answers; a request that was submitted meanwhile is left as it is."""
    if Request.objects.filter(pk=request.pk, state=State.DRAFT).update(details=dict(details)):
        request.details = dict(details)


def submit(*, request_id: UUID, now: datetime) -> Request:
    """File a draft, once: a second call returns the request as filed.

    The systems are asked before the transaction begins; what they said then is kept with the request. Where it is not
    proved who asks, or that they may, nothing is asked: the request waits for its proof.
    """
    request, law = Request.objects.select_related("filed_by").get(pk=request_id), Law()
    if request.state != State.DRAFT:
        return request
    if request.subject_id == request.filed_by_id:
        request.subject = request.filed_by
    kind = Kind(request.kind)
    require_complete(request)
    if key := missing_proof(request, now=now, law=law):
        return _ask_for_proof(request, key=key, now=now)
    matter = matter_of(request)
    seen = preview(matter, now=now, law=law)
    _require_given_up(request, seen)
    first = childs_place(request, identities=matter.identities, now=now)
    limit = limit_of(kind, on=local_day(now))
    try:
        with transaction.atomic():
            move(
                request,
                to=State.CHECKING,
                event="submitted",
                now=now,
                actor=request.filed_by,
                body={"kind": kind.value, "records": seen.plan.total},
                law=law,
                reference=make_reference(now),
                received_at=now,
                ready_at=now,
                started_on=local_day(now),
                limit_days=limit.days,
                working_days=limit.working_days,
                plan=seen.plan.to_json(),
                **first,
            )
            due = due_of(request, now=now, calendar=law.calendar).on.isoformat()
            notify(user=request.subject, request=request, kind="received", params={"due": due}, now=now)
            ask_whether_it_was_you(request, now=now)
    except StaleRequest:
        return Request.objects.get(pk=request_id)  # as whoever was first has filed it
    return request


def childs_place(request: Request, *, identities: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """What puts a child's request first in the queue: one of somebody under 14, or filed by a guardian."""
    child = is_under_fourteen(identities.get("id_number", ""), today=local_day(now))
    if child or _acts_as(Authority.Kind.GUARDIAN, request):
        return {"priority": CHILD_FIRST, "review_reasons": ["OK.MINOR"]}
    return {}


def _acts_as(kind: Authority.Kind, request: Request) -> bool:
    """Whether who filed it stands to the person in this way. Whether that covers the request was decided before."""
    if request.filed_by_id == request.subject_id:
        return False
    return Authority.objects.filter(
        agent=request.filed_by_id, principal=request.subject_id, kind=kind, revoked_at=None
    ).exists()


def missing_proof(request: Request, *, now: datetime, law: Law | None = None) -> str:
    """What has still to be proved, as a reason key (decisions, rows 27 and 33); empty where nothing has.

    An online request is proved by the account, by a valid authority for somebody else's, and by what the handling
    policy asks for beside them; what came by letter or call by what staff confirm (`actions.proofs`). Of the person
    nothing is read before an authority was found.
    """
    if request.channel != ONLINE:
        return "ID.UNVERIFIED"
    if request.filed_by_id != request.subject_id:
        try:
            require_authority(agent=request.filed_by, principal_id=request.subject_id, kind=request.kind, now=now)
        except NoAuthority:
            return "AGENT.UNAUTHORISED"
    asked_for = set((law or Law()).policy.identity)
    return "ID.UNVERIFIED" if asked_for and asked_for - set(get_identities(request.subject)) else ""


def _ask_for_proof(request: Request, *, key: str, now: datetime) -> Request:
    """Received, and waiting for its proof: no clock, no plan, no system asked. Who files is told what is missing, at
    once; the person themselves, that somebody filed it."""
    # By id alone: the person's row is closed to whoever has no authority.
    person, until = User(pk=request.subject_id), closes_on(now).isoformat()
    asked = person if request.channel != ONLINE else request.filed_by
    try:
        with transaction.atomic():
            locked = Request.objects.select_for_update(of=("self",)).get(pk=request.pk)
            if locked.state != State.DRAFT:
                return locked
            move(
                request,
                to=State.WAITING,
                event="proof_asked",
                now=now,
                actor=request.filed_by,
                body={"kind": request.kind, "key": key},
                reference=make_reference(now),
                received_at=now,
                plan=None,
                review_reasons=[key],
            )
            notify(user=asked, request=request, kind="proof_needed", params={"until": until}, now=now)
            ask_whether_it_was_you(request, now=now)
            if asked.pk != person.pk:
                notify(user=person, request=request, kind="filed_for_you", now=now)
    except IntegrityError as error:
        if "request_unproved_once" not in str(error):
            raise
        raise CannotSubmit(_("The same request waits for its proof already. Send the proof for that one.")) from error
    return request


def closes_on(received: datetime) -> date:
    """The day on which a request that was never proved is closed."""
    return local_day(received) + timedelta(days=handling.PROOF_DAYS)


def require_complete(request: Request) -> None:
    """Raise CannotSubmit where an answer is missing that the kind needs."""
    details = request.details
    match Kind(request.kind):
        case Kind.CORRECTION if not details.get("items"):
            raise CannotSubmit(_("Choose at least one thing to correct."))
        case Kind.WITHDRAWAL if not (details.get("purposes") or details.get("recipients")):
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


def route(request: Request, *, now: datetime, law: Law | None = None) -> None:
    """Send a checked request where it belongs: on by itself, to the desk, or to wait for a fact to clear."""
    if State(request.state) is not State.CHECKING:
        return
    law = law or Law()
    plan = Plan.from_json(request.plan) if request.plan else None
    kind = Kind(request.kind)
    if plan is None or plan.unknown:
        # It was proved only now, or a system was silent: unknown never counts as clear, nor as unchanged, so look again
        # before it is decided.
        plan = make_plan(matter_of(request), data_map=law.data_map, rules=law.rules, now=now, wait=30)
        Request.objects.filter(pk=request.pk, state=State.CHECKING).update(plan=plan.to_json())
    known = _circumstances(request, plan=plan, law=law)
    # A reviewer has looked already where a fee was accepted or waived.
    served = any(fee.accepted_at or fee.waived_at for fee in rows.find(Fee, request=request.pk))
    reasons = [] if served else handling.review_reasons(plan, kind=kind, policy=law.policy, known=known)
    noted = [*request.review_reasons, *reasons]  # that it is a child's is known since it was filed
    if kind is Kind.CANCELLATION and plan.waits:
        defer(request, plan=plan, now=now, law=law, review_reasons=noted)
    elif reasons:
        move(
            request, to=State.REVIEW, event="to_review", now=now, body={"reasons": noted}, law=law, review_reasons=noted
        )
    else:
        move(
            request,
            to=State.ACTING,
            event="accepted",
            now=now,
            law=law,
            approved_plan=plan.to_json(),
            approved_at=now,
            act_after=now,
        )


def _circumstances(request: Request, *, plan: Plan, law: Law) -> handling.Circumstances:
    return handling.Circumstances(
        needs_evidence=needs_evidence(request, data_map=law.data_map),
        of_deceased=_acts_as(Authority.Kind.RELATIVE, request),
        unchanged_copy=_has_same_copy(request, plan=plan, months=law.policy.copy_months, data_map=law.data_map),
        recent=_count_same(request, days=law.policy.repeat_days),
    )


def _has_same_copy(request: Request, *, plan: Plan, months: int, data_map: DataMap) -> bool:
    """Whether the person was given this very copy not long ago.

    "Nothing changed" means: the plan then and now count the same records in every collection, and the portal changed
    none since. What a business corrected in place meanwhile is not seen, so a person decides and nobody is refused.
    The portal's own rows are left out: asking adds to them.
    """
    if request.kind != Kind.ACCESS or request.received_at is None:
        return False
    since = add_months(local_day(request.received_at), -months)
    held = _of_the_companies(plan, data_map)
    earlier = Request.objects.filter(
        subject=request.subject_id, kind=Kind.ACCESS, closing_key="OK.ACCESS", closed_at__lte=request.received_at
    ).order_by("-closed_at")
    for copy in earlier.filter(closed_at__gte=datetime.combine(since, time(), tzinfo=SHANGHAI)).iterator():
        changed = Step.objects.filter(
            request__subject=request.subject_id, verb__in=CHANGING, done__gt=0, finished_at__gt=copy.closed_at
        )
        if (
            copy.plan
            and handling.same_records(_of_the_companies(Plan.from_json(copy.plan), data_map), held)
            and not changed.exists()
        ):
            return True
    return False


def _of_the_companies(plan: Plan, data_map: DataMap) -> Plan:
    own = {key for key, system in data_map.systems.items() if system.own}
    return replace(plan, lines=tuple(line for line in plan.lines if line.system not in own))


def _count_same(request: Request, *, days: int) -> int:
    """How often the same was asked for the person within `days` days, this time included. What was taken back or never
    proved asked for nothing."""
    if request.received_at is None:
        return 0
    lately = Request.objects.filter(
        subject=request.subject_id,
        kind=request.kind,
        ready_at__isnull=False,
        received_at__gt=request.received_at - timedelta(days=days),
        received_at__lte=request.received_at,
    ).exclude(closing_key="WITHDRAWN")
    wanted = _what_it_is_about(request)
    return sum(1 for other in lately.iterator() if _what_it_is_about(other) == wanted)


def _what_it_is_about(request: Request) -> tuple[frozenset[str], ...]:
    """Companies, purposes and values to correct, by name: a correction of the same field is the same request."""
    details: Mapping[str, Any] = request.details
    corrected = [item["correction"] for item in details.get("items") or ()]
    named = (details.get("entities"), details.get("purposes"), details.get("recipients"), corrected)
    return tuple(frozenset(names or ()) for names in named)


def needs_evidence(request: Request, *, data_map: DataMap) -> bool:
    """Whether a correction touches the verified identity (PIPL art. 46; decisions: NEED.EVIDENCE)."""
    if request.kind != Kind.CORRECTION:
        return False
    stated = data_map.corrections
    return any(stated[item["correction"]].kind == "identity" for item in request.details.get("items", ()))


def defer(request: Request, *, plan: Plan, now: datetime, law: Law | None = None, **fields: Any) -> None:
    """Wait for the facts in the way; the person is told which, and the notice meets the clock."""
    keys = sorted({key for line in plan.lines for key in line.blockers})
    with transaction.atomic():
        move(
            request,
            to=State.DEFERRED,
            event="deferred",
            now=now,
            body={"blockers": keys},
            law=law,
            deferred_at=now,
            check_after=now,
            plan=plan.to_json(),
            **fields,
        )
        notify(user=request.subject, request=request, kind="deferred", once=str(request.round), now=now)


def ask_whether_it_was_you(request: Request, *, now: datetime) -> None:
    """At the person's other contact, by id alone, as their row is closed to who filed it without an authority."""
    person, params = User(pk=request.subject_id), {"stop": stop_link(request)}
    notify(user=person, request=request, kind="was_this_you", second_contact=True, params=params, now=now)


def take_back(request: Request, *, actor: User | None, now: datetime, event: str = "taken_back") -> None:
    """The person changes their mind while it can still stop, or says at their other contact that it was not they
    (`disowned`, without signing in). Raises CannotSubmit once steps have begun."""
    with transaction.atomic():
        # A round may have started since `request` was read: whoever comes second waits here and sees it.
        begun = Request.objects.select_for_update(of=("self",)).values_list("round", flat=True).get(pk=request.pk)
        if begun or State(request.state) is State.CLOSED:
            raise CannotSubmit(_("This request can no longer be stopped: its changes have begun or it is closed."))
        move(
            request,
            to=State.CLOSED,
            event=event,
            now=now,
            actor=actor,
            closed_at=now,
            closing_key="WITHDRAWN",
            act_after=None,
            check_after=None,
        )
        if request.received_at:
            # By id alone, as their row is closed to who filed it without an authority.
            notify(user=User(pk=request.subject_id), request=request, kind="withdrawn", now=now)


def make_reference(now: datetime) -> str:
    """Such as DSR-261123-7K4QX: the day, and five random characters that cannot be guessed from a neighbour's."""
    return f"DSR-{local_day(now):%y%m%d}-" + "".join(secrets.choice(_ALPHABET) for _ in range(5))
