"""What a receipt states, in the words of the page: for who holds it, and for who checks it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.utils.translation import gettext as _

from rights.datamap import DataMap
from rights.kernel.decisions import REASONS
from rights.templatetags.look import on_text
from rights.web.case_words import kind_word
from rights.wording import cite


@dataclass(frozen=True)
class RecordRow:
    """Records of one collection: `mark` and `word` say what becomes or became of them."""

    name: str
    company: str
    count: int
    mark: str
    word: str
    first: date | None = None
    last: date | None = None
    without_date: bool = False
    rule: str = ""


@dataclass(frozen=True)
class Statement:
    """What a receipt states. `text_known`: it stands for a letter."""

    title: str
    reference: str
    at: datetime
    facts: tuple[tuple[str, str], ...]
    rows: tuple[RecordRow, ...]
    text_known: bool = False

    @property
    def total(self) -> int:
        return sum(row.count for row in self.rows)


def receipt_title(event: str) -> str:
    """What kind of receipt it is."""
    return {
        "submission": _("Receipt that we have your request"),
        "decision": _("Receipt of the decision"),
        "fulfilment": _("Receipt of what was done"),
        "hold": _("Receipt of what the law keeps"),
        "release": _("Receipt of what was deleted on its date"),
    }.get(event, event)


def present_statement(fields: Mapping[str, Any], *, data_map: DataMap, language: str) -> Statement:
    """What a receipt that was found genuine states."""
    return Statement(
        title=receipt_title(fields["event"]),
        reference=fields["reference"],
        at=datetime.fromisoformat(fields["time"]),
        facts=tuple(_facts(fields, data_map=data_map, language=language)),
        rows=tuple(
            _row(record, event=fields["event"], data_map=data_map, language=language)
            for record in fields.get("records", ())
        ),
        text_known="text" in fields,
    )


def _facts(fields: Mapping[str, Any], *, data_map: DataMap, language: str) -> list[tuple[str, str]]:
    facts = [(_("Request"), kind_word(fields["right"])), (_("State"), _status(fields))]
    if "due" in fields:
        facts.append((_("Due"), on_text(date.fromisoformat(fields["due"]))))
    facts += [(_("Reason"), text) for text in _reasons(fields.get("justification", ()), data_map, language)]
    for collection, decision in fields.get("decided", {}).items():
        facts.append((data_map.label_of(collection, language), _decided(decision)))
    for system, day in fields.get("backups_clear", {}).items():
        name = data_map.systems[system].label(language) if system in data_map.systems else system
        text = _("cleared by %(day)s") % {"day": on_text(date.fromisoformat(day))}
        facts.append((_("Backups of %(name)s") % {"name": name}, text))
    return facts


def _status(fields: Mapping[str, Any]) -> str:
    if fields["event"] == "hold":
        return _("Stored only, until its date")
    if fields["event"] == "fulfilment" and fields["status"] == "delayed":
        return _("Done in part; the rest waits")
    words = {
        "acknowledged": _("Received; the clock runs"),
        "requires_action": _("Received; a proof is still needed"),
        "accepted": _("Agreed"),
        "rejected": _("Not agreed"),
        "delayed": _("More time was taken"),
        "fulfilled": _("Done"),
    }
    return words[fields["status"]]


def _reasons(stated: Sequence[Mapping[str, str]], data_map: DataMap, language: str) -> list[str]:
    found = []
    for item in stated:
        key = item["key"]
        if key in REASONS:
            text, basis = REASONS[key].text(language), cite(item.get("basis", ""), language)
            found.append(_("%(text)s (%(basis)s)") % {"text": text, "basis": basis} if basis else text)
        else:
            found.append(data_map.blockers[key].label(language) if key in data_map.blockers else key)
    return found


def _decided(decision: str) -> str:
    return {"keep": _("stays"), "erase": _("goes"), "refer": _("passed on to the legal department")}.get(
        decision, decision
    )


def _row(record: Mapping[str, Any], *, event: str, data_map: DataMap, language: str) -> RecordRow:
    item = data_map.collections.get(record["collection"])
    mark, word = _act(record["act"], event=event)
    return RecordRow(
        name=_("Your package") if record["act"] == "export" else data_map.label_of(record["collection"], language),
        company=data_map.entities[item.entity].service(language) if item else "",
        count=record["count"],
        mark=mark,
        word=word,
        first=_day(record.get("first_day")),
        last=_day(record.get("last_day")),
        without_date=bool(record.get("without_date")) or (record["act"] == "hold" and "last_day" not in record),
        rule=record.get("rule", ""),
    )


def _act(act: str, *, event: str) -> tuple[str, str]:
    """The mark and the words of what becomes of records, and once it has, of what became of them."""
    if event == "submission":
        return {
            "erase": ("go", _("Can go")),
            "mask": ("go", _("Can be made unrecognisable")),
            "blocked": ("wait", _("Waits for something")),
            "person": ("wait", _("A person decides")),
            "hold": ("hold", _("Kept by law")),
            "restrict": ("hold", _("Only stored from now on")),
            "keep": ("use", _("In use for your services")),
            "refuse": ("hold", _("Not covered by this right")),
            "unknown": ("late", _("did not answer")),
        }.get(act, ("use", act))
    return {
        "erase": ("done", _("Deleted")),
        "mask": ("done", _("Made unrecognisable")),
        "correct": ("done", _("Corrected")),
        "export": ("done", _("Made available")),
        "consent": ("done", _("Consent withdrawn")),
        "stop": ("done", _("Sharing stopped")),
        "close": ("done", _("Closed")),
        "hold": ("hold", _("Kept by law")),
    }.get(act, ("use", act))


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
