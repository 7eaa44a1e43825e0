"""What the person and staff write to each other about a request, with files.

Added to and never changed. It is open while the request is and for as long afterwards as one may appeal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.authority import NoAuthority, require_authority
from accounts.models import User
from portal.core.clock import SHANGHAI
from portal.core.ledger import commit_to
from rights.actions.files import MB, FileRefused, Taken, take_file
from rights.actions.submit import ONLINE
from rights.kernel.clock import local_day
from rights.models import Attachment, Message, Request
from rights.notices import notify
from rights.queries import last_day_to_object
from rights.transitions import record

MOST_TEXT = 4000
HOUR = timedelta(hours=1)


class CannotPost(Exception):
    """The message is not taken; `str()` says why and what to do."""


@dataclass(frozen=True)
class Handed:
    """A file as it was handed in: what somebody calls it, and its bytes."""

    name: str
    content: bytes


def post_message(
    request: Request, *, author: User, text: str, files: Sequence[Handed] = (), once: UUID, seen: int = 0, now: datetime
) -> Message:
    """Keep a message with its files, all or nothing, and tell the other side. The same `once` again is one
    message.

    `seen`: the last message that staff had before them, so that their answer settles no later one. Raises CannotPost,
    and FileRefused where a file is not taken.
    """
    text = clean_text(text)
    if author.is_staff_role and author.pk in {request.subject_id, request.filed_by_id}:
        raise CannotPost(_("Nobody decides their own case."))
    _require_open(request, now=now)
    if not text and not files:
        raise CannotPost(_("Write a message, or choose a file."))
    if len(text) > MOST_TEXT:
        raise CannotPost(_("Write %(n)s characters at most; these are %(all)s.") % {"n": MOST_TEXT, "all": len(text)})
    if len(files) > settings.MESSAGE_FILES:
        raise CannotPost(_("Choose %(n)s files at most.") % {"n": settings.MESSAGE_FILES})
    if found := Message.objects.filter(request=request, once=once).first():
        return found
    taken = [_take(file) for file in files]
    with transaction.atomic():
        # One after the other: what a case holds is bounded, and what staff have seen is told by the order.
        locked = Request.objects.select_for_update(of=("self",)).get(pk=request.pk)
        if found := Message.objects.filter(request=locked, once=once).first():
            return found
        _require_room(locked, taken)
        if not author.is_staff_role:
            _require_pace(author, now=now)
        return _keep(locked, author=author, text=text, taken=taken, once=once, seen=seen, now=now)


def _take(file: Handed) -> Taken:
    try:
        return take_file(name=file.name, content=file.content)
    except FileRefused as error:
        raise FileRefused(_("%(name)s: %(why)s") % {"name": file.name, "why": error}) from None


def settle_messages(request: Request, *, staff: User, seen: int, now: datetime) -> bool:
    """Staff have read what was written up to `seen`, and it needs no answer. False where something newer waits."""
    with transaction.atomic():
        locked = Request.objects.select_for_update(of=("self",)).get(pk=request.pk)
        if locked.unanswered_since is None:
            return True
        record(locked, event="message_read", now=now, actor=staff)
        return not _settle(locked, seen=seen)


def clean_text(text: str) -> str:
    """As it is counted and kept: browsers send a line's end as two characters."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def may_write(request: Request, *, now: datetime) -> bool:
    last = last_day_to_object(request)
    return last is None or local_day(now) <= last or request.appeals.filter(decided_at=None).exists()


def shut_words() -> str:
    return _("It has been closed for more than %(n)s days, so nothing more can be written here.") % {
        "n": settings.APPEAL_DAYS
    }


def _require_open(request: Request, *, now: datetime) -> None:
    if not may_write(request, now=now):
        raise CannotPost(shut_words())


def _require_room(request: Request, taken: Sequence[Taken]) -> None:
    kept = Attachment.objects.filter(message__request=request).aggregate(total=Sum("size"))["total"] or 0
    if taken and kept + sum(len(file.content) for file in taken) > settings.CASE_FILES_MB * MB:
        raise CannotPost(
            _("The files of one request may have %(n)s MB together, and these would be more.")
            % {"n": settings.CASE_FILES_MB}
        )


def _require_pace(author: User, *, now: datetime) -> None:
    lately = Message.objects.filter(author=author, at__gt=now - HOUR).order_by("-at").values_list("at", flat=True)
    found = list(lately[: settings.MESSAGES_AN_HOUR])
    if len(found) == settings.MESSAGES_AN_HOUR:
        again = (found[-1] + HOUR).astimezone(SHANGHAI) + timedelta(minutes=1)
        raise CannotPost(
            _("You have sent %(n)s messages within an hour. You can send the next one from %(time)s.")
            % {"n": len(found), "time": f"{again:%H:%M}"}
        )


def _keep(
    request: Request, *, author: User, text: str, taken: Sequence[Taken], once: UUID, seen: int, now: datetime
) -> Message:
    commitment = commit_to(text)
    message = Message.objects.create(
        request=request, author=author, by_staff=author.is_staff_role, text=text, salt=commitment.salt, once=once,
        at=now,
    )  # fmt: skip
    for file in taken:
        Attachment.objects.create(message=message, **file.fields())
    record(
        request,
        event="message",
        now=now,
        actor=author,
        body={"by": "staff" if message.by_staff else "person", "characters": len(text), "files": len(taken)},
        commitments={"text": commitment.digest, **{f"file.{n}": file.commitment for n, file in enumerate(taken, 1)}},
    )
    if message.by_staff:
        _settle(request, seen=seen)
        for user in parties_of(request, now=now):
            notify(user=user, request=request, kind="message", once=f"{message.pk}:{user.pk}", now=now)
    elif request.unanswered_since is None:
        Request.objects.filter(pk=request.pk).update(unanswered_since=now)
    return message


def _settle(request: Request, *, seen: int) -> datetime | None:
    """What came after what staff had before them still waits. Since when; None where nothing does."""
    later = request.messages.filter(by_staff=False, pk__gt=seen).order_by("pk").values_list("at", flat=True).first()
    Request.objects.filter(pk=request.pk).update(unanswered_since=later)
    return later


def parties_of(request: Request, *, now: datetime) -> list[User]:
    """Who follows a request and may write: the person, and who filed it while they may still ask for it. Before it is
    proved who asks, only who has to bring the proof: the other is nobody's to be told about."""
    filed = request.filed_by if request.channel == ONLINE else request.subject
    if request.lacks_proof:
        return [filed]
    if filed.pk == request.subject_id:
        return [request.subject]
    try:
        require_authority(agent=filed, principal_id=request.subject_id, kind=request.kind, now=now)
    except NoAuthority:
        return [request.subject]
    return [request.subject, filed]
