"""The desk's queue: its views, filters and pages, and finding a case or a person."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.identities import find_users
from accounts.models import User
from accounts.permissions import staff_required
from portal.core import clock
from rights.datamap import load_live_map
from rights.kernel.states import Kind
from rights.models import Request
from rights.queries import (
    QUEUE_PAGE,
    QUEUE_VIEWS,
    queue,
    queue_counts,
    queue_order,
)
from rights.web import person_of
from rights.web.case_words import kind_word
from rights.web.keyset import read_page
from rights.web.present_queue import present_rows

COUNT_BOUND = 1000
BY_WAITING = ("unproved", "messages", "appeals")
PERSON_ORDER = ("-received_at", "-id")
SEARCHED = ("account_no", "phone", "id_number", "client_id")


@dataclass(frozen=True)
class RailItem:
    name: str
    url: str
    count: int | None
    current: bool
    hot: bool


@dataclass(frozen=True)
class RailGroup:
    title: str
    items: tuple[RailItem, ...]


@dataclass(frozen=True)
class Filter:
    """A filter as a removable chip; `url` is the queue without it."""

    name: str
    value: str
    url: str


@never_cache
@require_safe
@staff_required("request.view")
def show_queue(request: HttpRequest) -> HttpResponse:
    """A saved view, the most urgent by law first, page by page. A reference in `q` opens its case."""
    now, reviewer = clock.now(), person_of(request)
    if reference := request.GET.get("q", "").strip():
        found = _find_by_reference(reference)
        if found:
            return redirect("desk:case", found.pk)
        messages.error(request, _("No case has the reference %(reference)s.") % {"reference": reference[:40]})
        return redirect("desk:queue")
    view = request.GET.get("view", "todo")
    if view not in QUEUE_VIEWS:
        raise Http404
    kind = request.GET.get("kind", "")
    if kind and kind not in set(Kind):
        raise Http404
    person = _filtered_person(request)
    all_of_view, order = _query_of(view, person=person, reviewer=reviewer)
    kinds = Counter(all_of_view.order_by().values_list("kind", flat=True)[:COUNT_BOUND])
    query = all_of_view.filter(kind=kind) if kind else all_of_view
    query = query.select_related("subject", "reviewer").prefetch_related("questions", "fees")
    page = read_page(query, order=order, cursor=request.GET.get("page", ""), size=QUEUE_PAGE)
    total = kinds[kind] if kind else kinds.total()
    rows = present_rows(page.rows, reviewer=reviewer, data_map=load_live_map(), now=now)
    stated = {"view": view, "kind": kind, "person": str(person.pk) if person else ""}
    late = sum(1 for row in rows if row.days_left is not None and row.days_left < 0 and not row.paused)
    today = sum(1 for row in rows if row.days_left == 0 and not row.paused)
    return render(
        request,
        "desk/queue.html",
        {
            "view": {
                "title": _("All requests of one person") if person else _view_names()[view],
                "count": total,
                "order": _order_words(view, person=person),
                "by_urgency": person is None and view not in {"closed", *BY_WAITING},
                "sentence": _urgency(late=late, today=today) if total <= QUEUE_PAGE else "",
            },
            "views": _rail(view=view, kind=kind, kinds=kinds, person=person, reviewer=reviewer),
            "filters": _filters(stated, person=person),
            "rows": rows,
            "updated_at": now,
            "first": page.first,
            "last": page.first + len(rows) - 1,
            "total": max(total, page.first + len(rows) - 1),
            "previous_url": _queue_url({**stated, "page": page.previous}) if page.previous else "",
            "next_url": _queue_url({**stated, "page": page.next}) if page.next else "",
        },
    )


def _query_of(
    view: str, *, person: User | None, reviewer: User
) -> tuple["QuerySet[Request, Request]", tuple[str, ...]]:
    if person is not None:
        return Request.objects.filter(subject=person, received_at__isnull=False), PERSON_ORDER
    return queue(view, reviewer=reviewer), queue_order(view)


def _order_words(view: str, *, person: User | None) -> str:
    if person is not None or view == "closed":
        return _("The newest first")
    return _("The longest waiting first") if view in BY_WAITING else _("The most urgent by law first")


def _view_names() -> dict[str, str]:
    return {
        "todo": _("To decide"),
        "mine": _("Mine"),
        "messages": _("New messages"),
        "appeals": _("Appeals"),
        "waiting": _("Waiting for the person"),
        "unproved": _("Waiting for a proof"),
        "deferred": _("Put off"),
        "acting": _("Being carried out"),
        "failed": _("Failed"),
        "closed": _("Finished"),
    }


def _rail(
    *, view: str, kind: str, kinds: Mapping[str, int], person: User | None, reviewer: User
) -> tuple[RailGroup, ...]:
    counts = queue_counts(reviewer=reviewer, bound=COUNT_BOUND)
    views = tuple(
        RailItem(
            name=name,
            url=_queue_url({"view": key}),
            count=counts.get(key),
            current=key == view and not kind and person is None,
            hot=key == "failed",
        )
        for key, name in _view_names().items()
    )
    stated = {"view": view, "person": str(person.pk) if person else ""}
    items = tuple(
        RailItem(
            name=kind_word(item),
            url=_queue_url({**stated, "kind": item.value}),
            count=kinds.get(item.value, 0),
            current=item.value == kind,
            hot=False,
        )
        for item in Kind
    )
    return RailGroup(_("Views"), views), RailGroup(_("Of these"), items)


def _filters(stated: Mapping[str, str], *, person: User | None) -> list[Filter]:
    found = []
    if stated["kind"]:
        found.append(Filter(_("Kind"), kind_word(stated["kind"]), _queue_url({**stated, "kind": ""})))
    if person is not None:
        found.append(Filter(_("Person"), person.masked_name, _queue_url({**stated, "person": ""})))
    return found


def _urgency(*, late: int, today: int) -> str:
    words = []
    if late:
        words.append(ngettext("%(n)s late", "%(n)s late", late) % {"n": late})
    if today:
        words.append(ngettext("%(n)s due today", "%(n)s due today", today) % {"n": today})
    return ("，" if (get_language() or "zh").startswith("zh") else ", ").join(words)


def _queue_url(stated: Mapping[str, str]) -> str:
    told = {key: value for key, value in stated.items() if value and (key, value) != ("view", "todo")}
    return reverse("desk:queue") + (f"?{urlencode(told)}" if told else "")


def _filtered_person(request: HttpRequest) -> User | None:
    text = request.GET.get("person", "")
    if not text:
        return None
    try:
        return get_object_or_404(User, pk=UUID(text))
    except ValueError:
        raise Http404 from None


@require_POST
@staff_required("request.view")
def search(request: HttpRequest) -> HttpResponse:
    """Find by exact reference, account number, phone or ID number. By POST, so that no number lands in an address."""
    words = request.POST.get("q", "").strip()[:64]
    if found := _find_by_reference(words):
        return redirect("desk:case", found.pk)
    if person := _find_person(words):
        return redirect(_queue_url({"person": str(person.pk)}))
    messages.error(request, _("Nothing was found. Only a whole reference, account, phone or ID number is looked up."))
    return redirect("desk:queue")


def _find_by_reference(words: str) -> Request | None:
    return Request.objects.filter(reference=words.upper()).first() if words else None


def _find_person(words: str) -> User | None:
    if not words:
        return None
    for kind in ("account_no", "phone"):
        user = User.objects.find_by(kind, words)
        if user is not None and not user.is_staff_role:
            return user
    found = [user for kind in SEARCHED for user in find_users(kind, words) if not user.is_staff_role]
    return found[0] if found else None
