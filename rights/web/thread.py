"""Messages about a request on a page: the form they are written in, and the thread in its order."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.authority import names_of_agents
from accounts.models import User
from rights.actions.files import TYPES, FileRefused
from rights.actions.thread import MOST_TEXT, CannotPost, Handed, clean_text, may_write, post_message, shut_words
from rights.models import Attachment, Message, Request
from rights.web import person_of
from rights.web.files import read_upload

PAGE = 50
FILES_HINT = gettext_lazy("PDF, PNG or JPEG, up to %(n)s files of %(mb)s MB each. They are kept encrypted.")


class _ManyFiles(forms.ClearableFileInput):
    allow_multiple_selected = True
    template_name = "django/forms/widgets/file.html"


class ManyFilesField(forms.FileField):
    """Any number of files; `post_message` says how many may be sent."""

    widget = _ManyFiles

    def clean(self, data: Any, initial: Any = None) -> "list[UploadedFile[Any]]":
        chosen = data if isinstance(data, list | tuple) else [data]
        # What is empty or too large is refused where every file is, in the same words.
        return [file for file in chosen if file]


class MessageForm(forms.Form):
    """`once`: sent twice, it is one message. `seen`: the last message that was on the page."""

    text = forms.CharField(
        label=gettext_lazy("Your message"),
        required=False,
        widget=forms.Textarea({"rows": 4, "maxlength": MOST_TEXT}),
    )
    attachments = ManyFilesField(label=gettext_lazy("Files"), required=False)
    once = forms.UUIDField(widget=forms.HiddenInput)
    seen = forms.IntegerField(min_value=0, required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, files: Any = None, *, seen: int = 0) -> None:
        super().__init__(data, files, auto_id="id_message_%s", initial={"once": uuid4(), "seen": seen})
        self.fields["attachments"].help_text = FILES_HINT % {"n": settings.MESSAGE_FILES, "mb": settings.FILE_MB}
        self.fields["attachments"].widget.attrs["accept"] = ",".join(f".{kind.ending}" for kind in TYPES) + ",.jpeg"

    def clean_text(self) -> str:
        return clean_text(self.cleaned_data["text"])


def send_message(request: HttpRequest, item: Request, *, now: datetime) -> MessageForm | None:
    """Keep what a page sent. None where that was done; else the form with what is wrong and what was typed."""
    form = MessageForm(request.POST, request.FILES)
    if not form.is_valid():
        return form
    given = form.cleaned_data
    try:
        handed = [Handed(file.name or "", _read(file)) for file in given["attachments"]]
        post_message(
            item, author=person_of(request), text=given["text"], files=handed, once=given["once"],
            seen=given["seen"] or 0, now=now,
        )  # fmt: skip
    except FileRefused as error:
        form.add_error("attachments", str(error))
    except CannotPost as error:
        form.add_error("text", str(error))
    else:
        return None
    return form


def _read(file: "UploadedFile[Any]") -> bytes:
    try:
        return read_upload(file)
    except FileRefused as error:
        raise FileRefused(_("%(name)s: %(why)s") % {"name": file.name, "why": error}) from None


# ---- the thread in its order ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileRow:
    name: str
    kind: str
    size: str
    url: str


@dataclass(frozen=True)
class Entry:
    """One message, question or answer. `who`: "you", "staff", or empty where `name` says it."""

    at: datetime
    text: str
    who: str = ""
    name: str = ""
    files: tuple[FileRow, ...] = ()


@dataclass(frozen=True)
class Thread:
    """`form` None: nothing more can be written, `shut` says why where there is something to say. `older`: the number
    to ask the page before this one by; 0 where there is none."""

    entries: tuple[Entry, ...]
    form: MessageForm | None
    url: str
    older: int = 0
    lost_files: bool = False
    shut: str = ""
    waits: bool = False


def present_thread(
    item: Request,
    *,
    viewer: User,
    url: str,
    file_url: Callable[[Attachment], str],
    form: MessageForm | None,
    writes: bool,
    before: str,
    now: datetime,
) -> Thread:
    """Messages with the questions and answers among them, newest first, a page of them. `before`: the number of a
    message, from the address."""
    found = Message.objects.filter(request=item).order_by("-pk")
    until = (
        found.filter(pk=int(before)).first() if before.isascii() and before.isdecimal() and len(before) < 19 else None
    )
    shown = list((found.filter(pk__lt=until.pk) if until else found)[: PAGE + 1])
    older = shown[PAGE - 1].pk if len(shown) > PAGE else 0
    shown = shown[:PAGE]
    entries = _of_messages(item, shown, viewer=viewer, file_url=file_url) + _of_questions(item, viewer=viewer)
    entries = [
        entry for entry in entries if (until is None or entry.at < until.at) and (not older or entry.at >= shown[-1].at)
    ]
    is_open = may_write(item, now=now)
    last = shown[0].pk if shown and until is None else 0
    return Thread(
        entries=tuple(sorted(entries, key=lambda entry: entry.at, reverse=True)),
        form=(form or MessageForm(seen=last)) if is_open and writes else None,
        url=url,
        older=older,
        lost_files=bool(form and form.files),
        shut="" if is_open else shut_words(),
        waits=item.unanswered_since is not None,
    )


def _of_messages(
    item: Request, shown: list[Message], *, viewer: User, file_url: Callable[[Attachment], str]
) -> list[Entry]:
    files: dict[int, list[FileRow]] = {}
    for file in Attachment.objects.filter(message__in=shown).defer("content").order_by("message", "pk"):
        row = FileRow(file.name or "", _ending(file), _size(file.size), file_url(file))
        files.setdefault(file.message_id, []).append(row)
    names = _names(item, shown, viewer=viewer)
    return [
        Entry(
            at=message.at,
            text=message.text or "",
            who=_who(message, viewer),
            name=names.get(message.author_id, ""),
            files=tuple(files.get(message.pk, ())),
        )
        for message in shown
    ]


def _who(message: Message, viewer: User) -> str:
    if message.author_id == viewer.pk:
        return "you"
    return "staff" if message.by_staff and not viewer.is_staff_role else ""


def _names(item: Request, shown: list[Message], *, viewer: User) -> dict[Any, str]:
    """What the others are called: staff by name to each other, one party to the other by a masked name."""
    others = {message.author_id: message.by_staff for message in shown if message.author_id != viewer.pk}
    if viewer.is_staff_role:
        staff = User.objects.filter(pk__in=[pk for pk, by_staff in others.items() if by_staff])
        named = {user.pk: user.display_name or "" for user in staff}
        parties = {pk: _("the person") if pk == item.subject_id else _("who filed it") for pk in others}
        return {**parties, **named}
    agents = names_of_agents() if any(not by_staff and pk != item.subject_id for pk, by_staff in others.items()) else {}
    return {
        pk: item.subject.masked_name if pk == item.subject_id else agents.get(pk, _("who filed it"))
        for pk, by_staff in others.items()
        if not by_staff
    }


def _of_questions(item: Request, *, viewer: User) -> list[Entry]:
    """Questions that were answered, with their answers; the open one stands on the person's page by itself."""
    is_staff = viewer.is_staff_role
    found = []
    for question in item.questions.all():
        if question.answered_at:
            who = "you" if viewer.pk == item.subject_id else ""
            name = _("the person") if is_staff else "" if who else item.subject.masked_name
            found.append(Entry(question.answered_at, question.answer or "", who=who, name=name))
        if question.answered_at or is_staff:
            name = _("a case worker") if is_staff else ""
            found.append(Entry(question.asked_at, question.text or "", who="" if is_staff else "staff", name=name))
    return found


def _ending(file: Attachment) -> str:
    return next((kind.ending.upper() for kind in TYPES if kind.media_type == file.media_type), "")


def _size(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB" if size >= 1024 * 1024 else f"{max(1, round(size / 1024))} KB"
