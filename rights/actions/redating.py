"""Gives many live holds another last day, page by page: nothing is overwritten, and each person is told once.

A room of its own, since rules that are activated and exceptions that are approved both do it. Whatever a page has
done is done: a worker that dies is followed by one that finds less left to do.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max, QuerySet

from rights.kernel.retention import Rule, last_day
from rights.models import Hold, Request
from rights.notices import notify

PAGE = 200
"""Requests in one transaction. A request has a hold per collection and trigger date: hundreds, seldom thousands."""

_REWRITE = """
WITH new AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(days)s::date[], %(rules)s::text[], %(keys)s::text[])
        AS n(id, last_day, rule, key)
), kept AS (
    INSERT INTO rights_holdrevision
        (hold_id, at, cause, old_rule, old_key, old_trigger_on, old_last_day, rule, key, trigger_on, last_day)
    SELECT h.id, %(at)s, %(cause)s, h.rule, h.key, h.trigger_on, h.last_day, n.rule, n.key, h.trigger_on, n.last_day
    FROM rights_hold h JOIN new n ON n.id = h.id
)
UPDATE rights_hold h SET last_day = n.last_day, rule = n.rule, key = n.key FROM new n WHERE h.id = n.id
"""


@dataclass(frozen=True)
class Change:
    """What a hold says from now on."""

    last_day: date | None
    rule: str
    key: str


def redate(
    found: QuerySet[Hold],
    *,
    decide: Callable[[Hold], Change | None],
    cause: str,
    rules: Sequence[Rule],
    now: datetime,
) -> int:
    """Change the holds of `found` as `decide` says (None: stays); how many were changed.

    A parent that is kept for its children's sake follows the last of them. `rules` tell such a parent by its day, which
    is then not the one that its own rule gives.
    """
    changed, after = 0, None
    while True:
        with transaction.atomic():
            more = found.filter(request_id__gt=after) if after else found
            page: list[UUID] = list(
                more.order_by("request_id").values_list("request_id", flat=True).distinct()[:PAGE]
            )  # fmt: skip
            if not page:
                return changed
            changed += _redate_page(found, page, decide=decide, cause=cause, rules=rules, now=now)
            after = page[-1]


def _redate_page(
    found: QuerySet[Hold],
    page: Sequence[UUID],
    *,
    decide: Callable[[Hold], Change | None],
    cause: str,
    rules: Sequence[Rule],
    now: datetime,
) -> int:
    # Requests first: the daily release of one of them waits, and then sees the new day.
    list(Request.objects.select_for_update(of=("self",)).filter(pk__in=page).order_by("pk").values_list("pk"))
    holds = list(found.filter(request_id__in=page).order_by("id").select_for_update(of=("self",)))
    changes = {hold.pk: change for hold in holds if (change := decide(hold)) is not None}
    before = {hold.pk: hold for hold in holds}
    later: dict[tuple[UUID, str, date], date] = {}
    for pk, change in changes.items():
        hold = before[pk]
        if hold.last_day and change.last_day and change.last_day > hold.last_day:
            place = (hold.request_id, hold.system, hold.last_day)
            later[place] = max(later.get(place, change.last_day), change.last_day)
    for parent in _kept_for_children(found, page, holds=holds, rules=rules) if later else ():
        said = changes.get(parent.pk) or Change(parent.last_day, parent.rule, parent.key)
        follows = later.get((parent.request_id, parent.system, parent.last_day or date.min))
        if follows and said.last_day and follows > said.last_day:
            changes[parent.pk] = Change(follows, said.rule, said.key)
            before[parent.pk] = parent
    if not changes:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            _REWRITE,
            {
                "ids": list(changes),
                "days": [change.last_day for change in changes.values()],
                "rules": [change.rule for change in changes.values()],
                "keys": [change.key for change in changes.values()],
                "at": now,
                "cause": cause,
            },
        )
    moved = {before[pk].request_id for pk, change in changes.items() if change.last_day != before[pk].last_day}
    tell(moved, cause=cause, now=now)
    return len(changes)


def tell(requests: Iterable[UUID], *, cause: str, now: datetime) -> None:
    """Tell people who had been told a date the last one that is true now, once for each cause."""
    last: dict[UUID, date] = defaultdict(lambda: date.min)
    live = Hold.objects.filter(request_id__in=list(requests), released_at__isnull=True, last_day__isnull=False)
    last.update(live.values_list("request_id").annotate(last=Max("last_day")).order_by())
    told = Request.objects.filter(pk__in=list(last)).select_related("subject").only("reference", "subject__id")
    for request in told:
        notify(
            user=request.subject,
            request=request,
            kind="redated",
            params={"until": last[request.pk].isoformat()},
            once=cause,
            now=now,
        )


def _kept_for_children(
    found: QuerySet[Hold], page: Sequence[UUID], *, holds: Sequence[Hold], rules: Sequence[Rule]
) -> list[Hold]:
    """Live holds whose day is not what their own rules give. One under an exception is not told apart; it is read
    again before its release."""
    known = {rule.label: rule for rule in rules}
    kept = []
    others = Hold.objects.filter(request_id__in=page, released_at__isnull=True, last_day__isnull=False).exclude(
        pk__in=found.filter(request_id__in=page).order_by().values("pk")
    )
    for hold in [*holds, *others.order_by("id").select_for_update(of=("self",))]:
        labels = {label for label in hold.rule.split("/") if label}
        if not labels <= known.keys():
            continue
        if hold.last_day not in {last_day(hold.trigger_on, known[label]) for label in labels if hold.trigger_on}:
            kept.append(hold)
    return kept
