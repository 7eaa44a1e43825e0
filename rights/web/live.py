"""A page that a script asks for again while it is open: what it says is told by its ETag."""

import hashlib
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response

View = Callable[..., HttpResponse]
TOKEN = re.compile(rb'<input type="hidden" name="csrfmiddlewaretoken" value="[^"]*">')


def revalidated(view: View) -> View:
    """Answer 304 while the page says the same as the ETag that was sent. Tokens against forgery, which are new in every
    answer, do not count."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        answer = view(request, *args, **kwargs)
        if answer.status_code != 200:
            return answer
        etag = f'W/"{hashlib.sha256(TOKEN.sub(b"", answer.content)).hexdigest()[:32]}"'
        answer["ETag"] = etag
        return get_conditional_response(request, etag=etag, response=answer) or answer

    return inner
