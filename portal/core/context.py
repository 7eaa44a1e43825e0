"""What every page knows without asking."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language


def page(request: HttpRequest) -> dict[str, object]:
    return {"demo": settings.DEMO, "language": get_language()}
