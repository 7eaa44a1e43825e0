"""What partners say of their own accord. Nobody is signed in: the signature over the raw body is all that counts."""

import structlog
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from portal.core import clock, rls
from rights.actions.handovers import take_callback
from rights.connectors.base import ConnectorError
from rights.connectors.registry import reach
from rights.datamap import load_live_map

log = structlog.get_logger(__name__)


@csrf_exempt
@never_cache
@require_POST
def receive(request: HttpRequest, party: str) -> HttpResponse:
    """202 for what is provably the partner's, also when it says it twice; else 403 without a word on why, and nothing
    of the portal is read for it but the data map."""
    now, known = clock.now(), load_live_map().party(party)
    if known is None:
        return HttpResponse(status=403)
    try:
        number, answer = reach(known, channel=known.kind).read_callback(request.headers, request.body, now=now)
    except ConnectorError as error:
        log.warning("callback_refused", party=party, reason=str(error))
        return HttpResponse(status=403)
    with rls.speaking_for(None, staff=True):
        taken = take_callback(party, number, answer, now=now)
    return HttpResponse(status=202 if taken else 404)
