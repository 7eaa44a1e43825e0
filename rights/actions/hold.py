"""The daily release: what has lapsed is erased record by record, years after its request was closed."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from rights.connectors.base import ConnectorError
from rights.connectors.registry import connect
from rights.datamap import load_live_map
from rights.kernel.clock import local_day
from rights.models import Hold, Request, Step

PAGE = 200


def schedule_releases(*, now: datetime) -> list[Request]:
    """Write release steps for holds whose last day is over; the requests that now have some."""
    lapsed = Hold.objects.filter(last_day__lt=local_day(now), released_at__isnull=True)
    ids = lapsed.order_by("last_day").values_list("request_id", flat=True)[:PAGE]
    found = []
    for request in Request.objects.filter(pk__in=set(ids)).select_related("subject"):
        collections = set(lapsed.filter(request=request).values_list("collection", flat=True))
        if _schedule(request, collections, now=now):
            found.append(request)
    return found


def _schedule(request: Request, collections: Iterable[str], *, now: datetime) -> bool:
    data_map = load_live_map()
    try:
        order = [
            key
            for system in dict.fromkeys(data_map.collections[name].system for name in sorted(collections))
            for key in connect(system, data_map).erase_order()
            if key in collections
        ]
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
            )
            for number, key in enumerate(order)
        )
    return bool(order)
