"""Retention rules: proposed by one administrator, activated by another, and then carried to what is held already.

Activation writes facts only. Each tick goes on dating the live holds anew until a rule's are done, so that a million
holds, a worker that dies or a rule that takes effect next year need nothing more.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import Count as CountOf
from django.db.models import Max, Min, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.permissions import can
from portal.core import ledger
from rights.actions.redating import Change, redate
from rights.datamap import DataMap, load_live_map
from rights.datamap.shape import CLASSES
from rights.kernel.clock import local_day
from rights.kernel.retention import (
    Bound,
    Count,
    Rank,
    Rule,
    cutoff,
    duration_months,
    last_day,
    may_end_before,
    predecessor_of,
)
from rights.kernel.states import OPEN_STATES, Kind
from rights.models import Hold, Request, RetentionRule
from rights.queries import active_rules

SETTLED = timedelta(minutes=5)
"""A worker that read the rules before an activation may write holds by them until its lease is over."""
ERASING = (Kind.DELETION.value, Kind.CANCELLATION.value)


class RuleRefused(ValueError):
    """The rule cannot be proposed or activated; `problems` say what is wrong and what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class StalePreview(Exception):
    """What an approval would change is no longer what was shown; `str()` says in what."""


@dataclass(frozen=True)
class RuleDraft:
    """A rule as an administrator writes it. Codes of entities empty: all of them."""

    code: str
    data_classes: tuple[str, ...]
    duration: str
    citation: str
    trigger: str
    effective_from: date
    effective_to: date | None = None
    bound: Bound = Bound.MINIMUM
    count: Count = Count.ANNIVERSARY
    rank: Rank = Rank.LAW
    entities: tuple[str, ...] = ()
    supersedes: str = ""

    def to_kernel(self, *, version: int) -> Rule:
        return Rule(
            code=self.code,
            version=version,
            data_classes=self.data_classes,
            duration=self.duration,
            citation=self.citation,
            bound=self.bound,
            count=self.count,
            rank=self.rank,
            effective_from=self.effective_from,
            effective_to=self.effective_to,
            entities=self.entities,
            supersedes=self.supersedes,
            active=False,
        )


@dataclass(frozen=True)
class RulePreview:
    """What activating a rule changes: people, their requests, holds and records, and cases that are still open.

    `first_day` and `last_day` are those of the holds it dates anew. With `retroactive` the rule reaches back before
    today: that is a reading of the law and has to be shown as one. `open_cases` counts every open request to erase,
    since what it concerns is sealed.
    """

    subjects: int
    requests: int
    holds: int
    records: int
    open_ended: int
    open_cases: int
    first_day: date | None
    last_day: date | None
    retroactive: bool


def propose(draft: RuleDraft, *, actor: User, now: datetime) -> RetentionRule:
    """Write a proposal, as the next version of its code. Raises RuleRefused with everything that is wrong."""
    _require_admin(actor)
    known = _standing_rules()
    version = 1 + max((rule.version for rule in _versions(draft.code)), default=0)
    if problems := check_draft(draft, version=version, known=known, data_map=load_live_map()):
        raise RuleRefused(*problems)
    with transaction.atomic():
        rule = RetentionRule.objects.create(
            code=draft.code,
            version=version,
            data_classes=list(draft.data_classes),
            trigger=draft.trigger.strip(),
            duration=draft.duration,
            bound=draft.bound.value,
            count=draft.count.value,
            rank=draft.rank.value,
            entities=list(draft.entities),
            citation=draft.citation.strip(),
            effective_from=draft.effective_from,
            effective_to=draft.effective_to,
            supersedes=draft.supersedes,
            proposed_by=actor,
            proposed_at=now,
        )
        _record(rule, "rule_proposed", actor=actor, now=now, **_said(draft))
    return rule


def adopt(rule: RetentionRule, *, actor: User, now: datetime) -> None:
    """Propose a rule that the product ships as a proposal: from then on another administrator may activate it."""
    _require_admin(actor)
    with transaction.atomic():
        if not RetentionRule.objects.filter(
            pk=rule.pk, proposed_by__isnull=True, activated_at__isnull=True, withdrawn_at__isnull=True
        ).update(proposed_by=actor, proposed_at=now):
            raise RuleRefused(_("%(rule)s is no open proposal of the product's.") % {"rule": rule})
        rule.refresh_from_db()
        _record(rule, "rule_proposed", actor=actor, now=now, shipped=True)


def withdraw(rule: RetentionRule, *, actor: User, now: datetime) -> None:
    """Take a proposal off the list. An active rule ends by a version with an end date, never by this."""
    _require_admin(actor)
    with transaction.atomic():
        if not RetentionRule.objects.filter(
            pk=rule.pk, activated_at__isnull=True, withdrawn_at__isnull=True
        ).update(withdrawn_at=now):  # fmt: skip
            raise RuleRefused(
                _("%(rule)s is no open proposal; a rule in force ends by a new version.") % {"rule": rule}
            )
        rule.refresh_from_db()
        _record(rule, "rule_withdrawn", actor=actor, now=now)


def preview_activation(rule: RetentionRule, *, now: datetime) -> RulePreview:
    """What activating the rule would change, counted from what is held."""
    candidate, today = rule.to_kernel(), local_day(now)
    found = affected_holds(candidate, rules=active_rules(), data_map=load_live_map())
    numbers = found.aggregate(
        holds=CountOf("id"),
        records=Sum("count"),
        requests=CountOf("request", distinct=True),
        subjects=CountOf("request__subject", distinct=True),
        open_ended=CountOf("id", filter=Q(last_day__isnull=True)),
        first=Min("trigger_on"),
        last=Max("trigger_on"),
    )
    return RulePreview(
        subjects=numbers["subjects"],
        requests=numbers["requests"],
        holds=numbers["holds"],
        records=numbers["records"] or 0,
        open_ended=numbers["open_ended"],
        open_cases=open_cases(),
        # The dates are monotone in the trigger.
        first_day=last_day(numbers["first"], candidate) if numbers["first"] else None,
        last_day=last_day(numbers["last"], candidate) if numbers["last"] else None,
        retroactive=rule.effective_from < today,
    )


def activate(rule: RetentionRule, *, actor: User, seen: RulePreview, now: datetime) -> None:
    """Activate a proposal of somebody else's, on the preview that was shown.

    Raises RuleRefused for one's own, one that nobody proposed or one that contradicts what is in force meanwhile,
    StalePreview where the numbers have changed. The holds follow tick by tick.
    """
    _require_admin(actor)
    with transaction.atomic():
        locked = RetentionRule.objects.select_for_update().get(pk=rule.pk)
        if locked.activated_at or locked.withdrawn_at:
            raise RuleRefused(_("%(rule)s is no open proposal.") % {"rule": rule})
        if locked.proposed_by_id is None:
            raise RuleRefused(
                _("One administrator proposes %(rule)s first, then another activates it.") % {"rule": rule}
            )
        if locked.proposed_by_id == actor.pk:
            raise RuleRefused(_("Who proposed it cannot activate it; another administrator does."))
        candidate = locked.to_kernel()
        if problems := _contradictions(candidate, _standing_rules(active_only=True)):
            raise RuleRefused(*problems)
        require_fresh(seen, preview_activation(locked, now=now))
        RetentionRule.objects.filter(pk=rule.pk).update(activated_by=actor, activated_at=now)
        _record(locked, "rule_activated", actor=actor, now=now, holds=seen.holds, records=seen.records)
    rule.refresh_from_db()


def carry_out(*, now: datetime) -> int:
    """Date live holds anew under rules that were activated and have taken effect; how many it concerned.

    Idempotent: a hold that has its new date is no longer found.
    """
    waiting = RetentionRule.objects.filter(
        activated_at__isnull=False, redated_at__isnull=True, effective_from__lte=local_day(now)
    )
    done = 0
    for row in waiting.order_by("effective_from", "activated_at", "pk"):
        rules, rule = active_rules(), row.to_kernel()
        found = affected_holds(rule, rules=rules, data_map=load_live_map())
        changed = redate(
            found, decide=_under(rule, rules), cause=f"rule:{rule.label}", rules=rules, now=now
        )  # fmt: skip
        done += changed
        if row.activated_at and now - row.activated_at < SETTLED:
            continue
        with transaction.atomic():
            if RetentionRule.objects.filter(pk=row.pk, redated_at__isnull=True).update(redated_at=now):
                ledger.append(chain=row.chain, kind="rule_carried_out", body={"rule": rule.label}, now=now)
    return done


def affected_holds(rule: Rule, *, rules: Sequence[Rule], data_map: DataMap) -> QuerySet[Hold]:
    """Live holds that a rule dates anew: those of its predecessor that ran on or after the day it takes effect.

    A rule without a predecessor adds itself to what its classes are under already. Collections whose class depends on
    the record, and rules that never enter a person's plan, change no hold here; a release reads its terms again.
    """
    live = Hold.objects.filter(released_at__isnull=True)
    if rule.bound is not Bound.MINIMUM or rule.rank is Rank.INTERNAL:
        return live.none()
    before = predecessor_of(rule, [other for other in rules if other.label != rule.label])
    collections = [
        item.key
        for item in data_map.collections.values()
        if (not rule.entities or item.entity in rule.entities)
        and all(
            clause.data_class in rule.data_classes
            for clause in item.classes
            if before is None or clause.data_class in before.data_classes
        )
    ]
    live = live.filter(collection__in=collections)
    if before is None:
        return live.filter(last_day__isnull=False, trigger_on__isnull=False)
    ran_on = Q(trigger_on__gte=cutoff(before, today=rule.effective_from)) | Q(trigger_on__isnull=True)
    return live.filter(ran_on, rule=before.label)


def _under(rule: Rule, rules: Sequence[Rule]) -> Callable[[Hold], Change | None]:
    before = predecessor_of(rule, [other for other in rules if other.label != rule.label])

    def decide(hold: Hold) -> Change | None:
        if hold.last_day is None or hold.trigger_on is None:
            return Change(hold.last_day, rule.label, hold.key)
        day = last_day(hold.trigger_on, rule)
        if before is None:
            return Change(day, rule.label, hold.key) if day > hold.last_day else None
        if hold.last_day != last_day(hold.trigger_on, before):
            # Something else keeps it to its day, which does not get shorter by this.
            day = max(day, hold.last_day)
        return Change(day, rule.label, hold.key)

    return decide


def check_draft(draft: RuleDraft, *, version: int, known: Sequence[Rule], data_map: DataMap) -> list[str]:
    """Everything that is wrong with a draft, each with what to do about it."""
    problems = []
    if not draft.code.strip() or len(draft.code) > 40 or "/" in draft.code:  # "/" joins the codes of a hold
        problems.append(_("Give the rule a code of up to 40 characters without a slash."))
    if not draft.citation.strip():
        problems.append(_("Cite the law or regulation that the rule rests on."))
    if not draft.trigger.strip():
        problems.append(_("Say what starts the period."))
    if not draft.data_classes:
        problems.append(_("Name at least one class."))
    for name in sorted(set(draft.data_classes) - (CLASSES - {"none"})):
        classes = ", ".join(sorted(CLASSES - {"none"}))
        problems.append(_("%(name)s is not a class; use one of %(classes)s.") % {"name": name, "classes": classes})
    for name in sorted(set(draft.entities) - set(data_map.entities)):
        entities = ", ".join(sorted(data_map.entities))
        problems.append(_("%(name)s is not a company; use one of %(names)s.") % {"name": name, "names": entities})
    problems += [
        _("%(name)s is named twice; name it once.") % {"name": name}
        for name in sorted(_twice((*draft.data_classes, *draft.entities)))
    ]
    if draft.effective_to and draft.effective_to < draft.effective_from:
        problems.append(_("The rule would end before it takes effect; correct one of the two dates."))
    try:
        duration_months(draft.duration)
    except ValueError:
        problems.append(
            _("%(text)s is no duration in whole years and months, up to 100 years, such as P5Y or P6M; days are not"
              " counted.") % {"text": draft.duration or "“”"}
        )  # fmt: skip
    problems += _wrong_predecessor(draft, version=version, known=known)
    if not problems:
        problems += _contradictions(draft.to_kernel(version=version), [rule for rule in known if rule.active])
    return problems


def _wrong_predecessor(draft: RuleDraft, *, version: int, known: Sequence[Rule]) -> list[str]:
    if draft.supersedes == draft.code and draft.code:
        return [_("A rule does not supersede itself; a new version does so without saying it.")]
    before = predecessor_of(draft.to_kernel(version=version), known)
    if before is None:
        if not draft.supersedes:
            return []
        return [_("There is no rule %(code)s to supersede; correct the code.") % {"code": draft.supersedes}]
    names = {"rule": before.label}
    problems = []
    if before.bound is not draft.bound:
        problems.append(_("%(rule)s has another bound; a minimum succeeds a minimum, a maximum a maximum.") % names)
    if draft.rank is Rank.INTERNAL and before.rank is not Rank.INTERNAL:
        problems.append(_("%(rule)s rests on law; an internal rule cannot take its place.") % names)
    if draft.effective_from < before.effective_from:
        problems.append(_("It would take effect before %(rule)s did; correct the date.") % names)
    if not draft.to_kernel(version=version).overlaps(before):
        problems.append(_("It shares no class and company with %(rule)s, so it cannot supersede it.") % names)
    return problems


def _contradictions(rule: Rule, known: Sequence[Rule]) -> list[str]:
    """What among active rules cannot stand beside it: another successor of the same rule, and a maximum that could end
    before a minimum of law or regulation; each for the same records."""
    found = [
        _("%(rival)s supersedes %(rule)s for the same classes and companies; name others, or supersede that one.")
        % {"rival": other.label, "rule": rule.supersedes}
        for other in known
        if other.code != rule.code and other.supersedes == rule.supersedes != "" and other.overlaps(rule)
    ]
    superseded = predecessor_of(rule, known)
    for other in known:
        if other.bound is rule.bound or not other.overlaps(rule) or other == superseded:
            continue
        maximum, minimum = (rule, other) if rule.bound is Bound.MAXIMUM else (other, rule)
        if minimum.rank is not Rank.INTERNAL and may_end_before(maximum, minimum):
            found.append(
                _("The maximum %(maximum)s (%(long)s) would end before the minimum %(minimum)s (%(short)s) that applies"
                  " to the same records; make it longer, or name other classes or companies.")
                % {"maximum": maximum.label, "long": maximum.duration, "minimum": minimum.label,
                   "short": minimum.duration}
            )  # fmt: skip
    return found


def open_cases() -> int:
    """Open requests to erase something: their plans are made again before anything is done."""
    return Request.objects.filter(state__in=[state.value for state in OPEN_STATES], kind__in=ERASING).count()


def require_fresh(seen: object, fresh: object) -> None:
    """Raise StalePreview where a preview (any dataclass of numbers) is not what it would be now."""
    before, after = asdict(seen), asdict(fresh)  # type: ignore[call-overload]
    changed = [f"{name}: {before[name]} → {after[name]}" for name in after if before.get(name) != after[name]]
    if changed:
        raise StalePreview(_("What it changes is no longer what was shown (%(what)s); look again.")
                           % {"what": ", ".join(changed)})  # fmt: skip


def _standing_rules(*, active_only: bool = False) -> tuple[Rule, ...]:
    """Active rules, and with them the proposals, which a proposal may supersede."""
    rows = RetentionRule.objects.filter(withdrawn_at__isnull=True)
    if active_only:
        rows = rows.filter(activated_at__isnull=False)
    return tuple(row.to_kernel() for row in rows.order_by("code", "version"))


def _versions(code: str) -> QuerySet[RetentionRule]:
    return RetentionRule.objects.filter(code=code)


def _twice(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


def _said(draft: RuleDraft) -> dict[str, ledger.Json]:
    return {
        "classes": list(draft.data_classes),
        "duration": draft.duration,
        "bound": draft.bound.value,
        "count": draft.count.value,
        "rank": draft.rank.value,
        "entities": list(draft.entities),
        "effective_from": draft.effective_from.isoformat(),
        "effective_to": draft.effective_to.isoformat() if draft.effective_to else None,
        "supersedes": draft.supersedes,
    }


def _record(rule: RetentionRule, kind: str, *, actor: User, now: datetime, **body: ledger.Json) -> None:
    ledger.append(chain=rule.chain, kind=kind, body={"rule": str(rule), "by": str(actor.pk), **body}, now=now)


def _require_admin(actor: User) -> None:
    if not can(actor, "console.edit"):
        raise RuleRefused(_("Only administrators make retention rules."))
