"""One spelling per number, so that a blind index finds what a person typed with spaces, hyphens or full-width
digits."""

import re
import unicodedata

_SPACING = re.compile(r"[\s\-‐-―()]+")


def normalise(kind: str, value: str) -> str:
    """The spelling of `value` that is stored and indexed."""
    if kind == "name":
        return unicodedata.normalize("NFC", value).strip()
    text = _SPACING.sub("", unicodedata.normalize("NFKC", value))
    if kind == "phone":
        return re.sub(r"^(\+|00)?86(?=1\d{10}$)", "", text)
    return text.upper() if kind == "id_number" else text
