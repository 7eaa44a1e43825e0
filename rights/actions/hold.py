"""The daily release: what has lapsed is erased record by record, years after its request was closed."""

from collections.abc import Iterable
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from rights.actions.steps import as_params, release_matter
from rights.connectors.base import ConnectorError, Key
from rights.connectors.registry import connect
from rights.datamap import DataMap, load_live_map
from rights.kernel.clock import local_day
from rights.kernel.retention import Effect
from rights.models import Hold, Request, RetentionException, Step
from rights.planning import find_first
from rights.queries import active_rules

log = structlog.get_logger(__name__)

PAGE = 200


def schedule_releases(*, now: datetime) -> list[Request]:
    """Write release steps for holds whose last day is over; the requests that now have some."""
    under_way = Step.objects.filter(
        request=OuterRef("request"), collection=OuterRef("collection"), verb="release"
    ).exclude(state=Step.State.DONE)
    # What waits already, or for a system that is away, must not hide what comes after it in the page.
    lapsed = Hold.objects.filter(
        ~Exists(under_way), ~Exists(_suspensions(now=now)), last_day__lt=local_day(now), released_at__isnull=True
    )
    if not lapsed.exists():
        return []
    data_map = load_live_map()
    lapsed = lapsed.filter(collection__in=list(data_map.collections), system__in=_reachable(data_map))
    ids = lapsed.order_by("last_day").values_list("request_id", flat=True)[:PAGE]
    found = []
    for request in Request.objects.filter(pk__in=set(ids)).select_related("subject"):
        collections = set(lapsed.filter(request=request).values_list("collection", flat=True))
        if _schedule(request, collections, data_map=data_map, now=now):
            found.append(request)
    return found


def _suspensions(*, now: datetime) -> QuerySet[RetentionException]:
    """Exceptions that keep a hold which has lapsed: those approved since the last tick have not dated it anew yet.

    One for a class is left to the release itself, which reads each record's class.
    """
    return RetentionException.objects.filter(
        Q(subject__isnull=True) | Q(subject=OuterRef("request__subject")),
        Q(request__isnull=True) | Q(request=OuterRef("request")),
        Q(collection="") | Q(collection=OuterRef("collection")),
        Q(entity="") | Q(entity=OuterRef("entity")),
        data_class="",
        effect=Effect.SUSPEND.value,
        approved_at__isnull=False,
        applied_at__isnull=True,
        ended_at__isnull=True,
        until__gte=local_day(now),
    )


def report_orphans(*, now: datetime) -> int:
    """Lapsed holds of collections that no live map knows any more: nobody would ever find those records again."""
    orphans = Hold.objects.filter(last_day__lt=local_day(now), released_at__isnull=True).exclude(
        collection__in=list(load_live_map().collections)
    )
    names = sorted(set(orphans.values_list("collection", flat=True)[:PAGE]))
    if names:
        log.error("hold_without_map", collections=names)
    return len(names)


def _reachable(data_map: DataMap) -> list[str]:
    found = []
    for system in data_map.systems:
        try:
            connect(system, data_map)
            found.append(system)
        except ConnectorError as error:
            log.warning("release_waits", system=system, reason=str(error))
    return found


def _schedule(request: Request, collections: Iterable[str], *, data_map: DataMap, now: datetime) -> bool:
    collections = set(collections)
    order: list[str] = []
    found: dict[str, tuple[Key, ...]] = {}
    matter = release_matter(request)
    try:
        for system in dict.fromkeys(data_map.collections[name].system for name in sorted(collections)):
            order += [key for key in connect(system, data_map).erase_order() if key in collections]
            if matter:
                found |= find_first(
                    matter, system=system, data_map=data_map, rules=active_rules(), now=now, among=collections
                )
    except ConnectorError:
        return False  # the system is away; the hold is still lapsed at the next tick
    with transaction.atomic():
        # The lock makes one of two ticks see the other's steps.
        locked = Request.objects.select_for_update().only("pk", "round").get(pk=request.pk)
        under_way = Step.objects.filter(request=request, verb="release").exclude(state=Step.State.DONE)
        order = [key for key in order if key not in set(under_way.values_list("collection", flat=True))]
        # In the round that is over, after its steps: the next round numbers its own from the start.
        last = Step.objects.filter(request=request, round=locked.round).aggregate(last=Max("ordinal"))["last"]
        first = 0 if last is None else last + 1
        Step.objects.bulk_create(
            Step(
                request=request,
                verb="release",
                system=data_map.collections[key].system,
                collection=key,
                ordinal=first + number,
                round=locked.round,
                not_before=now,
                params=as_params(found.get(key)),
            )
            for number, key in enumerate(order)
        )
    return bool(order)
