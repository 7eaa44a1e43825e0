"""Exceptions to retention: proposed by one administrator, approved by another on a preview, ended by their own date.

A suspension keeps records for a legal claim or an investigation, an extension sets a longer end, an early release ends
what no law or regulation holds. A confidential one (a suspicious-transaction matter) must not be hinted at: the person
sees a hold like any other, and only staff to whom confidential matters were opened may propose or approve it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import Count as CountOf
from django.db.models import Max, QuerySet, Sum
from django.utils.translation import gettext as _

from accounts.identities import get_identities
from accounts.models import User
from accounts.permissions import can
from portal.core import ledger
from portal.core.ledger import commit_to
from rights.actions.redating import Change, redate
from rights.actions.retention import ERASING, open_cases, require_fresh
from rights.actions.submit import matter_of
from rights.datamap import DataMap, load_live_map
from rights.datamap.shape import CLASSES
from rights.kernel.clock import local_day
from rights.kernel.plan import Fate, Plan
from rights.kernel.retention import Bound, Effect, Exemption, Rule, governing, last_day
from rights.kernel.states import OPEN_STATES, Kind
from rights.models import Hold, Request, RetentionException
from rights.notices import notify
from rights.planning import Matter, make_plan, with_facts
from rights.queries import active_rules

WARN_DAYS = 7
"""How long before its end those who made an exception are reminded of it."""
KEYS = {Effect.SUSPEND: "HOLD.LITIGATION", Effect.EXTEND: "HOLD.EXTENDED", Effect.RELEASE: ""}
PATIENCE = 30
"""Seconds that a preview waits for business systems."""


class ExceptionRefused(ValueError):
    """The exception cannot be proposed or approved; `problems` say what is wrong and what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class ExceptionDraft:
    """An exception as an administrator writes it.

    Its scope is whatever is named, all of it together: a person, one request of theirs, a collection, a class, a
    company. `until` is the last day it holds records through, `expires_on` when it ends whatever happens.
    """

    effect: Effect
    basis: str
    evidence: str
    expires_on: date
    until: date | None = None
    subject: User | None = None
    request: Request | None = None
    collection: str = ""
    data_class: str = ""
    entity: str = ""
    confidential: bool = False


@dataclass(frozen=True)
class ExceptionPreview:
    """What an exception changes: people, holds and the records in them, and open cases.

    Where it is about a person, `plan_records` of theirs come to another fate or day in a plan made now. Systems in
    `unknown` could not be asked.
    """

    subjects: int
    holds: int
    records: int
    open_cases: int
    plan_records: int
    unknown: tuple[str, ...] = ()


def propose(draft: ExceptionDraft, *, actor: User, now: datetime) -> RetentionException:
    """Write a proposal. Raises ExceptionRefused with everything that is wrong."""
    _require_admin(actor, confidential=draft.confidential)
    data_map = load_live_map()
    if problems := _check(draft, data_map=data_map, today=local_day(now)):
        raise ExceptionRefused(*problems)
    subject = draft.request.subject if draft.request else draft.subject
    commitment = commit_to(draft.evidence)
    neutral = draft.confidential or draft.effect is Effect.RELEASE
    row = RetentionException(
        effect=draft.effect.value,
        subject=subject,
        request=draft.request,
        collection=draft.collection,
        data_class=draft.data_class,
        entity=draft.entity,
        until=draft.until or draft.expires_on,
        expires_on=draft.expires_on,
        basis=draft.basis.strip(),
        evidence=draft.evidence,
        evidence_salt=commitment.salt,
        confidential=draft.confidential,
        key="" if neutral else KEYS[draft.effect],
        proposed_by=actor,
        proposed_at=now,
    )
    row.label = "" if neutral else f"X-{row.pk.hex[:8]}"
    _require_lawful(row, data_map=data_map, now=now)
    with transaction.atomic():
        row.save(force_insert=True)
        _record(
            row,
            "exception_proposed",
            actor=actor,
            now=now,
            commitments={"evidence": commitment.digest},
            effect=draft.effect.value,
            until=row.until.isoformat(),
            expires_on=row.expires_on.isoformat(),
        )
    return row


def preview(row: RetentionException, *, now: datetime) -> ExceptionPreview:
    """What approving it would change. Where it is about a person, systems are asked: call it in no transaction."""
    data_map = load_live_map()
    found = holds_in_scope(row, data_map)
    if Effect(row.effect) is not Effect.RELEASE:
        found = found.filter(last_day__lt=row.until)
    numbers = found.aggregate(
        holds=CountOf("id"), records=Sum("count"), subjects=CountOf("request__subject", distinct=True)
    )
    changed, unknown = _compare_plans(row, data_map=data_map, now=now)
    subjects = numbers["subjects"] if row.subject_id is None else 1
    return ExceptionPreview(
        subjects=subjects,
        holds=numbers["holds"],
        records=numbers["records"] or 0,
        open_cases=_open_cases(row),
        plan_records=changed,
        unknown=unknown,
    )


def approve(row: RetentionException, *, actor: User, seen: ExceptionPreview, now: datetime) -> None:
    """Approve somebody else's proposal on the preview that was shown.

    Raises ExceptionRefused for one's own, an expired or a withdrawn one, or an early release that a law forbids by now;
    StalePreview where what it changes is no longer what was shown. Existing holds follow at the next tick; releases of
    what it covers stop at once.
    """
    _require_admin(actor, confidential=row.confidential)
    if row.proposed_by_id == actor.pk:
        raise ExceptionRefused(_("Who proposed it cannot approve it; another administrator does."))
    if row.expires_on < local_day(now):
        raise ExceptionRefused(_("It has expired; propose a new one."))
    _require_lawful(row, data_map=load_live_map(), now=now)
    require_fresh(seen, preview(row, now=now))
    with transaction.atomic():
        if not RetentionException.objects.filter(
            pk=row.pk, approved_at__isnull=True, withdrawn_at__isnull=True
        ).update(approved_by=actor, approved_at=now):  # fmt: skip
            raise ExceptionRefused(_("It is no open proposal any more."))
        _record(row, "exception_approved", actor=actor, now=now, holds=seen.holds, records=seen.records)
    row.refresh_from_db()


def withdraw(row: RetentionException, *, actor: User, now: datetime) -> None:
    """Take a proposal off the list; what was approved ends by its date."""
    _require_admin(actor, confidential=row.confidential)
    with transaction.atomic():
        if not RetentionException.objects.filter(
            pk=row.pk, approved_at__isnull=True, withdrawn_at__isnull=True
        ).update(withdrawn_at=now):  # fmt: skip
            raise ExceptionRefused(_("It is no open proposal any more."))
        _record(row, "exception_withdrawn", actor=actor, now=now)
    row.refresh_from_db()


def carry_out(*, now: datetime) -> int:
    """What a tick does about exceptions: carry new ones to existing holds, warn before the end, end. Each once."""
    return _apply_approved(now=now) + _warn(now=now) + _end_expired(now=now)


def holds_in_scope(row: RetentionException, data_map: DataMap) -> QuerySet[Hold]:
    """Live holds that are wholly in the scope. A collection whose class depends on the record is not, under a class:
    its records are told apart when they are read, at the latest before their release."""
    found = Hold.objects.filter(released_at__isnull=True)
    if row.request_id:
        found = found.filter(request_id=row.request_id)
    elif row.subject_id:
        found = found.filter(request__subject_id=row.subject_id)
    if row.entity:
        found = found.filter(entity=row.entity)
    if row.collection:
        found = found.filter(collection=row.collection)
    if row.data_class:
        wholly = [
            item.key
            for item in data_map.collections.values()
            if all(clause.data_class == row.data_class for clause in item.classes)
        ]
        found = found.filter(collection__in=wholly)
    return found


def _apply_approved(*, now: datetime) -> int:
    today, done = local_day(now), 0
    waiting = RetentionException.objects.filter(
        approved_at__isnull=False, applied_at__isnull=True, ended_at__isnull=True, expires_on__gte=today
    )
    # By effect: an early release ends the longer ends of the same tick, and a suspension outlasts both.
    for row in waiting.order_by("effect", "approved_at", "pk"):
        data_map, rules = load_live_map(), active_rules()
        found = holds_in_scope(row, data_map)
        if Effect(row.effect) is Effect.RELEASE:
            # Only what an extension keeps; the release itself reads again what a rule or a suspension still holds.
            found = found.filter(key=KEYS[Effect.EXTEND], last_day__gte=today)
        else:
            found = found.filter(last_day__lt=row.until)
        done += redate(
            found,
            decide=_under(row, data_map=data_map, rules=rules, today=today),
            cause=f"exception:{row.pk}",
            rules=rules,
            now=now,
        )
        RetentionException.objects.filter(pk=row.pk, applied_at__isnull=True).update(applied_at=now)
    return done


def _under(
    row: RetentionException, *, data_map: DataMap, rules: tuple[Rule, ...], today: date
) -> Callable[[Hold], Change | None]:
    def decide(hold: Hold) -> Change | None:
        if Effect(row.effect) is Effect.RELEASE:
            return Change(today - timedelta(days=1), hold.rule, hold.key)
        day = row.until
        if (item := data_map.collections.get(hold.collection)) and hold.trigger_on:
            for clause in item.classes:
                for each in governing(
                    rules, data_class=clause.data_class, entity=item.entity, today=today, bound=Bound.MAXIMUM
                ):
                    day = min(day, last_day(hold.trigger_on, each.rule))
        if hold.last_day is None or day <= hold.last_day:
            return None
        return Change(day, row.label or hold.rule, row.key or hold.key)

    return decide


def _warn(*, now: datetime) -> int:
    """Tell those who made an exception, once, a week before it ends."""
    today = local_day(now)
    soon = RetentionException.objects.filter(
        approved_at__isnull=False,
        warned_at__isnull=True,
        ended_at__isnull=True,
        expires_on__gte=today,
        expires_on__lte=today + timedelta(days=WARN_DAYS),
    ).select_related("proposed_by", "approved_by")
    done = 0
    for row in soon.order_by("expires_on", "pk"):
        with transaction.atomic():
            if not RetentionException.objects.filter(pk=row.pk, warned_at__isnull=True).update(warned_at=now):
                continue
            for user in (row.proposed_by, row.approved_by):
                if user:
                    until = row.expires_on.isoformat()
                    notify(user=user, kind="exception_ending", params={"until": until}, once=str(row.pk), now=now)
        done += 1
    return done


def _end_expired(*, now: datetime) -> int:
    over = RetentionException.objects.filter(
        approved_at__isnull=False, ended_at__isnull=True, expires_on__lt=local_day(now)
    )
    done = 0
    for row in over.order_by("expires_on", "pk"):
        with transaction.atomic():
            if RetentionException.objects.filter(pk=row.pk, ended_at__isnull=True).update(ended_at=now):
                _record(row, "exception_ended", actor=None, now=now)
                done += 1
    return done


def _check(draft: ExceptionDraft, *, data_map: DataMap, today: date) -> list[str]:
    problems = []
    if not (draft.subject or draft.request or draft.collection or draft.data_class or draft.entity):
        problems.append(_("Name whom or what it concerns: a person, a case, a collection, a class or a company."))
    if draft.request and draft.subject and draft.request.subject_id != draft.subject.pk:
        problems.append(_("The case is another person's; name one of the two."))
    if draft.collection and draft.collection not in data_map.collections:
        problems.append(_("%(name)s is not in the data map.") % {"name": draft.collection})
    if draft.data_class and draft.data_class not in CLASSES - {"none"}:
        classes = ", ".join(sorted(CLASSES - {"none"}))
        problems.append(
            _("%(name)s is not a class; use one of %(classes)s.") % {"name": draft.data_class, "classes": classes}
        )
    if draft.entity and draft.entity not in data_map.entities:
        names = ", ".join(sorted(data_map.entities))
        problems.append(_("%(name)s is not a company; use one of %(names)s.") % {"name": draft.entity, "names": names})
    if not draft.basis.strip():
        problems.append(_("Say on what it rests."))
    if not draft.evidence.strip():
        problems.append(_("Describe the evidence."))
    if draft.expires_on < today:
        problems.append(_("It would have expired already; choose a later day."))
    if draft.until and draft.until > draft.expires_on:
        problems.append(_("It cannot hold records longer than it lasts; choose an earlier day or a later expiry."))
    if draft.until and draft.until < today and draft.effect is not Effect.RELEASE:
        problems.append(_("The day until which it holds records is past; choose a later one."))
    return problems


def _require_lawful(row: RetentionException, *, data_map: DataMap, now: datetime) -> None:
    """Refuse an early release while a law or regulation still holds what it covers, naming the rule and the day."""
    if Effect(row.effect) is not Effect.RELEASE:
        return
    rules, today = active_rules(), local_day(now)
    if row.subject_id:
        plan = make_plan(_matter(row), data_map=data_map, rules=rules, now=now, wait=PATIENCE)
        if plan.unknown:
            raise ExceptionRefused(
                _("%(names)s cannot be asked, so nobody knows what the law still holds there; try again.")
                % {"names": ", ".join(plan.unknown)}
            )
        named = {rule.label for rule in rules}
        for line in plan.of(Fate.HOLD):
            item = data_map.collections[line.collection]
            covered = any(
                row.to_kernel().covers(collection=item.key, data_class=clause.data_class, entity=item.entity)
                for clause in item.classes
            )
            if covered and line.rule in named | {None}:
                day = line.last_release.isoformat() if line.last_release else _("a day that has not been set yet")
                raise ExceptionRefused(_still_held(line.rule or line.key, day))
        return
    held = holds_in_scope(row, data_map).filter(rule__in=[rule.label for rule in rules])
    if first := held.values("rule").annotate(last=Max("last_day")).order_by("rule").first():
        day = first["last"].isoformat() if first["last"] else _("a day that has not been set yet")
        raise ExceptionRefused(_still_held(first["rule"], day))
    for item in data_map.collections.values():
        for clause in item.classes:
            if row.to_kernel().covers(collection=item.key, data_class=clause.data_class, entity=item.entity):
                for each in governing(rules, data_class=clause.data_class, entity=item.entity, today=today):
                    raise ExceptionRefused(_still_held(each.rule.label, last_day(today, each.rule).isoformat()))


def _still_held(rule: str, day: str) -> str:
    return _("%(rule)s still holds this until %(day)s; no exception releases it before.") % {"rule": rule, "day": day}


def _compare_plans(row: RetentionException, *, data_map: DataMap, now: datetime) -> tuple[int, tuple[str, ...]]:
    """How many records of the person's come to another fate or day with the exception than without it."""
    if row.subject_id is None:
        return 0, ()
    matter, rules = _matter(row), active_rules()
    others = with_facts(matter, subject=row.subject, request=row.request)  # type: ignore[arg-type]
    exemptions: tuple[Exemption, ...] = (*others.exemptions, row.to_kernel())
    before = make_plan(others, data_map=data_map, rules=rules, now=now, wait=PATIENCE)
    after = make_plan(replace(others, exemptions=exemptions), data_map=data_map, rules=rules, now=now, wait=PATIENCE)
    told = _counts(before)
    changed = sum(max(0, count - told.get(place, 0)) for place, count in _counts(after).items())
    return changed, tuple(sorted({*before.unknown, *after.unknown}))


def _counts(plan: Plan) -> dict[tuple[str, str, date | None], int]:
    return {(line.collection, line.fate.value, line.last_release): line.count for line in plan.lines}


def _matter(row: RetentionException) -> Matter:
    """The person's records as a deletion would find them, or those of the case, without any exception."""
    if row.request and row.request.kind in ERASING:
        return replace(matter_of(row.request), exemptions=())
    if row.subject is None:
        raise ValueError("An exception for everybody has no plan of its own.")
    return Matter(kind=Kind.DELETION, identities=get_identities(row.subject))


def _open_cases(row: RetentionException) -> int:
    if row.subject_id is None:
        return open_cases()
    mine = Request.objects.filter(
        state__in=[state.value for state in OPEN_STATES], kind__in=ERASING, subject_id=row.subject_id
    )
    return (mine.filter(pk=row.request_id) if row.request_id else mine).count()


def _record(
    row: RetentionException,
    kind: str,
    *,
    actor: User | None,
    now: datetime,
    commitments: dict[str, str] | None = None,
    **body: ledger.Json,
) -> None:
    who: dict[str, ledger.Json] = {"by": str(actor.pk)} if actor else {}
    ledger.append(chain=row.pk, kind=kind, body={**who, **body}, commitments=commitments, now=now)


def _require_admin(actor: User, *, confidential: bool) -> None:
    if not can(actor, "console.edit"):
        raise ExceptionRefused(_("Only administrators make exceptions to retention."))
    if confidential and not can(actor, "confidential.view"):
        raise ExceptionRefused(_("Confidential matters have not been opened to you."))
