"""What every page knows without asking."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language

THEMES = ("light", "dark")
CONTRASTS = ("more",)


def page(request: HttpRequest) -> dict[str, object]:
    """The language, whether this is a demo, and how the person wants pages shown: empty follows the device."""
    return {
        "demo": settings.DEMO,
        "language": get_language(),
        "theme": _known(request.COOKIES.get("theme"), THEMES),
        "contrast": _known(request.COOKIES.get("contrast"), CONTRASTS),
    }


def _known(value: str | None, known: tuple[str, ...]) -> str:
    """A cookie is whatever somebody sends; only what we know goes into the page."""
    return value if value in known else ""
