"""Whether the portal is alive, and whether it can do its work."""

from collections.abc import Callable
from datetime import timedelta

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from portal.core import clock
from portal.core.heartbeat import last_beat

_once_true: set[str] = set()


def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all parts answer. Names the part, never its address or its error."""
    checks: dict[str, Callable[[], bool]] = {
        "database": _database_answers,
        "broker": _broker_answers,
        "migrations": _is_migrated,
        "beat": _beat_is_heard,
    }
    results = {}
    for name, check in checks.items():
        try:
            results[name] = check()
        except (DatabaseError, redis.RedisError):
            results[name] = False
    ready = all(results.values())
    return JsonResponse({"ready": ready, "checks": results}, status=200 if ready else 503)


def _database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _broker_answers() -> bool:
    with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2) as client:
        return bool(client.ping())


def _is_migrated() -> bool:
    """Once true it stays true: a process never runs across a migration that it does not know."""
    if "migrated" not in _once_true:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
        _once_true.add("migrated")
    return True


def _beat_is_heard() -> bool:
    """A tick came through beat, broker and worker within the last three."""
    limit = timedelta(seconds=max(3 * settings.TICK_SECONDS, 15))
    last = last_beat("tick")
    return last is not None and clock.now() - last < limit
