"""How dates, counts, marks and rulers are written on every page, in the language of the page.

Days are days of Asia/Shanghai. Filters that give a date wrap it in `<time>`, which neither breaks nor loses the
machine-readable value; those ending in `_text` give the bare words, for attributes and options.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Protocol

from django import template
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext, ngettext

from rights.kernel.clock import SHANGHAI
from rights.kernel.decisions import reason
from rights.wording import cite

register = template.Library()

DAY = timedelta(days=1)
_UNBROKEN = re.compile(
    r"\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2})?|\d{1,2} 月 \d{1,2} 日(?: \d{2}:\d{2})?"  # days
    r"|[A-Z]{2,4}-\d{6}-[0-9A-Z]{4,6}|¥[\d,.]*\d"  # references, amounts
)
_ZH_WEEKDAYS = "一二三四五六日"
_EN_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EN_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def _chinese() -> bool:
    return (get_language() or "zh").startswith("zh")


def _local(value: date | datetime) -> date | datetime:
    return value.astimezone(SHANGHAI) if isinstance(value, datetime) and value.tzinfo else value


def _time(value: date | datetime, text: str) -> SafeString:
    return format_html(
        '<time datetime="{}">{}</time>',
        value.isoformat(timespec="minutes") if isinstance(value, datetime) else value.isoformat(),
        text,
    )


# ---- dates ---------------------------------------------------------------------------------------------------------


@register.filter
def day_text(value: date | datetime | None) -> str:
    """12 月 8 日; 8 December 2026. For days that are near: the Chinese form leaves the year out."""
    if not value:
        return ""
    local = _local(value)
    if _chinese():
        return f"{local.month} 月 {local.day} 日"
    return f"{local.day} {_EN_MONTHS[local.month - 1]} {local.year}"


@register.filter
def full_day_text(value: date | datetime | None) -> str:
    """2026 年 12 月 8 日; 8 December 2026. For what a person keeps."""
    if not value:
        return ""
    local = _local(value)
    return f"{local.year} 年 {day_text(local)}" if _chinese() else day_text(local)


@register.filter
def on_text(value: date | datetime | None) -> str:
    """2027-11-23; 23 November 2027. For days that are years away, and lists of them."""
    if not value:
        return ""
    return iso(value) if _chinese() else day_text(value)


@register.filter
def weekday(value: date | datetime | None) -> str:
    """星期二; Tuesday."""
    if not value:
        return ""
    index = _local(value).weekday()
    return f"星期{_ZH_WEEKDAYS[index]}" if _chinese() else _EN_WEEKDAYS[index]


@register.filter
def short_weekday(value: date | datetime | None) -> str:
    """二; Tue. For the desk's tables."""
    if not value:
        return ""
    index = _local(value).weekday()
    return _ZH_WEEKDAYS[index] if _chinese() else _EN_WEEKDAYS[index][:3]


@register.filter
def iso(value: date | datetime | None) -> str:
    """2026-12-08, the Shanghai day of a moment."""
    return _local(value).strftime("%Y-%m-%d") if value else ""


@register.filter
def month_day(value: date | datetime | None) -> str:
    """12-08, for tables and rulers."""
    return _local(value).strftime("%m-%d") if value else ""


@register.filter
def hour(value: datetime | None) -> str:
    """20:40, Shanghai time."""
    return _local(value).strftime("%H:%M") if value else ""


@register.filter
def moment_text(value: datetime | None) -> str:
    """11 月 23 日 10:00; 23 November 2026, 10:00."""
    if not value:
        return ""
    return f"{day_text(value)} {hour(value)}" if _chinese() else f"{day_text(value)}, {hour(value)}"


@register.filter
def iso_moment(value: datetime | None) -> str:
    """2026-11-23 10:00, Shanghai time."""
    return f"{iso(value)} {hour(value)}" if value else ""


@register.filter
def day(value: date | datetime | None) -> SafeString | str:
    return _time(value, day_text(value)) if value else ""


@register.filter
def full_day(value: date | datetime | None) -> SafeString | str:
    return _time(value, full_day_text(value)) if value else ""


@register.filter
def on(value: date | datetime | None) -> SafeString | str:
    return _time(value, on_text(value)) if value else ""


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    return _time(value, moment_text(value)) if value else ""


@register.filter
def next_day(value: date | None) -> date | None:
    """The day after the last day of a hold: the day on which a record goes."""
    return value + DAY if value else None


@register.filter
def days_after(value: date | None, days: int) -> date | None:
    return value + timedelta(days=days) if value else None


@register.filter
def reason_text(key: str) -> str:
    """The text of a reason in the language of the page; an unknown key raises KeyError."""
    return reason(key).zh if _chinese() else reason(key).en


@register.filter
def reason_basis(key: str) -> str:
    """The source of a reason, which follows its text."""
    return cite(reason(key).basis, get_language() or "")


# ---- counts and masks ----------------------------------------------------------------------------------------------


@register.filter
def count(value: int | None) -> str:
    """1,846 in both languages."""
    return "" if value is None else f"{value:,}"


@register.filter
def positive(value: int) -> int:
    """How many days late, from a negative number of days left."""
    return abs(value)


@register.filter
def records(value: int) -> str:
    """1,846 条; 1,846 records."""
    return ngettext("%(n)s record", "%(n)s records", value) % {"n": count(value)}


def limit_text(days: int, *, working: bool) -> str:
    """15 天, 10 个工作日; 15 days, 10 working days. How long a limit is, which an administrator sets per kind."""
    if working:
        return ngettext("%(n)s working day", "%(n)s working days", days) % {"n": days}
    return ngettext("%(n)s day", "%(n)s days", days) % {"n": days}


@register.filter
def listed(values: Iterable[object]) -> str:
    """百融、同盾; Bairong, Tongdun."""
    return _listed([str(value) for value in values])


def _listed(words: Sequence[str]) -> str:
    return ("、" if _chinese() else ", ").join(words)


@register.filter
def whole(text: object) -> SafeString:
    """Text whose dates, references and amounts do not break over two lines."""
    return mark_safe(_UNBROKEN.sub(r'<span class="num">\g<0></span>', conditional_escape(str(text or ""))))  # noqa: S308 - escaped


@register.simple_tag
def gap() -> str:
    """The space between two sentences: none in Chinese, where full-width punctuation brings its own."""
    return "" if _chinese() else " "


@register.filter
def amount(value: int) -> str:
    """1,846 条; 1,846. For the sum of three, whose cells are narrow."""
    return records(value) if _chinese() else count(value)


@register.filter
def mask_name(value: str) -> str:
    """陈**, 欧阳** stays as long as the name is; LIN ***: the first letter or surname sign, the rest covered."""
    return value[:1] + "*" * max(1, min(len(value) - 1, 3)) if value else ""


@register.filter
def mask_number(value: str) -> str:
    """138****2046, 1101**********4527: enough to recognise one's own number, too little to call it."""
    if len(value) < 8:
        return value[:1] + "*" * max(0, len(value) - 1)
    head = 4 if len(value) > 12 else 3
    return value[:head] + "*" * (len(value) - head - 4) + value[-4:]


# ---- marks ---------------------------------------------------------------------------------------------------------

_MARKS: Mapping[str, str] = {
    "go": "go", "erase": "go", "mask": "go", "close": "go", "correct": "go", "collect": "go", "stop": "go",
    "done": "done", "gone": "done", "erased": "done",
    "hold": "hold", "held": "hold", "restrict": "hold", "refuse": "hold",
    "keep": "use", "use": "use",
    "wait": "wait", "blocked": "wait", "person": "wait", "waiting": "wait", "deferred": "wait",
    "late": "late", "unknown": "late", "failed": "late", "unreachable": "late",
}  # fmt: skip


@register.filter
def mark(fate: object) -> str:
    """The mark (go, done, hold, use, wait, late) of a fate or a step's state; one that has no mark raises KeyError."""
    return _MARKS[str(getattr(fate, "value", fate))]


@register.filter
def tone(fate: object) -> str:
    """The colour class beside a mark: done is painted like go."""
    name = mark(fate)
    return "go" if name == "done" else name


@register.simple_tag
def step_word(state: str, kind: str = "deletion") -> str:
    """The state of one system's step in words; an unknown state raises KeyError."""
    acting = {
        "access": gettext("Collecting"),
        "correction": gettext("Correcting"),
        "deletion": gettext("Deleting"),
        "withdrawal": gettext("Stopping"),
        "cancellation": gettext("Closing"),
    }
    done = {
        "access": gettext("Collected"),
        "correction": gettext("Corrected"),
        "deletion": gettext("Deleted"),
        "withdrawal": gettext("Stopped"),
        "cancellation": gettext("Closed"),
    }
    return {
        "queued": gettext("Queued"),
        "acting": acting[kind],
        "done": done[kind],
        "erased": done["deletion"],
        "held": gettext("Kept by law"),
        "kept": gettext("In use"),
        "blocked": gettext("Waiting"),
        "unreachable": gettext("Cannot be reached now"),
        "halted": gettext("Paused by us"),
        "failed": gettext("Failed, staff look into it"),
        "person": gettext("A person is on it"),
        "refused": gettext("Not agreed"),
        "referred": gettext("Passed on"),
        "stopped": gettext("Stopped at your wish"),
    }[state]


@register.simple_tag
def fate_mark(fate: object, sensitive: object = False) -> SafeString:
    """The mark alone, hidden from readers: words must stand beside it. A dot in its centre says sensitive."""
    name = mark(fate)
    dot = "s" if sensitive and name in ("go", "hold", "use", "wait") else ""
    return format_html('<svg class="m {}" aria-hidden="true"><use href="#m-{}{}"/></svg>', tone(fate), name, dot)


# ---- rulers --------------------------------------------------------------------------------------------------------


class AnyPause(Protocol):
    """From the day of a question to the day of its answer; no answer yet: still open."""

    @property
    def asked_on(self) -> date: ...
    @property
    def answered_on(self) -> date | None: ...


class HeldLine(Protocol):
    """What the law keeps of one kind; the days are the first and the last day held, None where there is no date."""

    @property
    def name(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def first_release(self) -> date | None: ...
    @property
    def last_release(self) -> date | None: ...


class MapKind(Protocol):
    """One kind of data that a company holds; last_year is the last one in which anything of it remains, if known."""

    @property
    def fate(self) -> object: ...
    @property
    def sensitive(self) -> object: ...
    @property
    def last_year(self) -> int | None: ...


class MapCompany(Protocol):
    @property
    def kinds(self) -> Sequence[MapKind]: ...


@dataclass(frozen=True)
class Cell:
    """One counted day on the deadline ruler: passed, paused, left or over (beyond the limit)."""

    day: date
    state: str


def deadline_cells(*, started_on: date, due: date, today: date, pauses: Iterable[AnyPause] = ()) -> list[Cell]:
    """One cell a day from the day after the start (which is not counted) to the due day, or to today when late."""
    spans = [(pause.asked_on, pause.answered_on or today) for pause in pauses]
    last = max(due, today) if today > due else due
    cells = []
    for offset in range(1, (last - started_on).days + 1):
        current = started_on + DAY * offset
        if any(asked < current <= answered for asked, answered in spans):
            state = "paused"
        elif current > due:
            state = "over"
        else:
            state = "passed" if current <= today else "left"
        cells.append(Cell(current, state))
    return cells


_CELL_CLASS = {"passed": "r-on", "paused": "r-paused", "left": "r-off", "over": "r-over"}
_CELL_LIMIT = 90


@register.simple_tag
def deadline_ruler(
    started_on: date | None, due: date | None, today: date, pauses: Iterable[AnyPause] = (), width: int = 328
) -> SafeString | str:
    """The clock of a request as a picture with a sentence; nothing where there is no due day, as when deferred.

    More than 90 days would draw cells too thin to see: the sentence above the ruler says it then.
    """
    if not started_on or not due:
        return ""
    cells = deadline_cells(started_on=started_on, due=due, today=today, pauses=pauses)
    if not cells or len(cells) > _CELL_LIMIT:
        return ""
    step = (width + 2) / len(cells)
    rects = format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>',
        (
            (_CELL_CLASS[cell.state], *_cell_box(index, step, solid=cell.state in ("passed", "over")))
            for index, cell in enumerate(cells)
        ),
    )
    labels = format_html_join(
        "",
        '<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>',
        _deadline_labels(cells, due, today, step, width),
    )
    return format_html(
        '<svg class="ruler" viewBox="0 0 {} 46" role="img" aria-label="{}">{}{}</svg>',
        width, _deadline_sentence(cells, due, today), rects, labels,
    )  # fmt: skip


def _cell_box(index: int, step: float, *, solid: bool) -> tuple[str, str, str, str]:
    inset = 0.0 if solid else 0.5
    return (
        f"{index * step + inset:.1f}", f"{14 + inset:.1f}",
        f"{max(1.0, step - 2 - 2 * inset):.1f}", f"{16 - 2 * inset:.1f}",
    )  # fmt: skip


def _deadline_labels(
    cells: Sequence[Cell], due: date, today: date, step: float, width: int
) -> list[tuple[str, str, str, str, str]]:
    first, last = cells[0], cells[-1]
    labels = []
    if first.day != due:
        labels.append(("", "0", "44", "start", month_day(first.day)))
    for state, group in groupby(enumerate(cells), key=lambda pair: pair[1].state):
        run = list(group)
        middle = (run[0][0] + run[-1][0] + 1) / 2 * step
        if state == "paused" and 70 < middle < width - 70:
            text = ngettext("paused %(n)s day", "paused %(n)s days", len(run)) % {"n": len(run)}
            labels.append(("", f"{middle:.1f}", "44", "middle", text))
    if first.day <= today <= last.day:
        middle = ((today - first.day).days + 0.5) * step
        anchor = "start" if middle < 20 else "end" if middle > width - 20 else "middle"
        at = {"start": 0.0, "end": float(width), "middle": middle}[anchor]
        labels.append(("k", f"{at:.1f}", "10", anchor, gettext("today")))
    due_at = ((due - first.day).days + 1) * step - 2
    if last.day == due or due_at > 80:
        labels.append(("k", f"{min(due_at, width):.1f}", "44", "end", f"{month_day(due)} 24:00"))
    return labels


def _deadline_sentence(cells: Sequence[Cell], due: date, today: date) -> str:
    paused = sum(cell.state == "paused" for cell in cells)
    counted = len([cell for cell in cells if cell.day <= due]) - sum(
        cell.state == "paused" and cell.day <= due for cell in cells
    )
    if today > due:
        return gettext("Due on %(due)s; %(n)s days late.") % {"due": day_text(due), "n": (today - due).days}
    left = sum(cell.state == "left" for cell in cells)
    if paused:
        return gettext("%(total)s days to answer, %(paused)s more did not count, %(left)s left.") % {
            "total": counted, "paused": paused, "left": left,
        }  # fmt: skip
    return gettext("%(total)s days to answer, %(left)s left.") % {"total": counted, "left": left}


_ROW_LIMIT = 10


@register.simple_tag
def hold_ruler(lines: Iterable[HeldLine], today: date, width: int = 328) -> SafeString | str:
    """When held records go: a bar from the first to the last day held per line, on a year axis that starts today.

    Lines without a date are not drawn, nor are more than ten: the list below the picture is its table and has them all.
    """
    dated = sorted(
        ((line.first_release or line.last_release, line.last_release, line) for line in lines if line.last_release),
        key=lambda held: (held[1], held[0]),
    )[-_ROW_LIMIT:]
    if not dated:
        return ""
    end = dated[-1][1]
    span = max(365, (end - today).days + 30)
    base = len(dated) * 24 + 4
    parts = [format_html('<path class="r-line" d="M4 {}.5H{}"/>', base, width - 4)]
    years = range(today.year + 1, end.year + 2)
    every = max(1, -(-len(years) * 40 // width))
    for year in years:
        x = _place(date(year, 1, 1), today=today, span=span, width=width)
        if x >= width - 6:
            continue
        mark_at = f"{x:.1f}"
        parts.append(format_html('<path class="r-thin" d="M{} 2V{}"/>', mark_at, base))
        parts.append(format_html('<path class="r-line" d="M{} {}v6"/>', mark_at, base))
        if (year - years[0]) % every == 0 and 16 < x < width - 16:
            parts.append(format_html('<text x="{}" y="{}" text-anchor="middle">{}</text>', mark_at, base + 20, year))
    for index, (first, last, line) in enumerate(dated):
        right = _place(last, today=today, span=span, width=width)
        left = max(0.0, min(_place(first, today=today, span=span, width=width), right - 8))
        parts.append(_hold_bar(line, left=left, right=right, top=index * 24 + 4, width=width))
    label = gettext("Until when the law keeps these records, the last until %(day)s") % {"day": on_text(end)}
    return format_html(
        '<svg class="ruler" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        width,
        base + 26,
        label,
        format_html_join("", "{}", ((part,) for part in parts)),
    )


def _place(when: date, *, today: date, span: int, width: int) -> float:
    return 4 + max(0.0, min(1.0, (when - today).days / span)) * (width - 8)


def _hold_bar(line: HeldLine, *, left: float, right: float, top: int, width: int) -> SafeString:
    """The bar with its name inside where there is room, else beside it, else its count alone."""
    bar = format_html(
        '<rect class="r-hold" x="{}" y="{}" width="{}" height="16"/>', f"{left:.1f}", top, f"{right - left:.1f}"
    )
    short = count(line.count)
    name = f"{line.name} {short}"
    room = sum(12 if ord(sign) > 0x2E80 else 7 for sign in name) + 8
    if right - left > room + 8:
        style, x, anchor, text = "inv", left + 6, "start", name
    elif right + room < width:
        style, x, anchor, text = "k", right + 6, "start", name
    elif left > room:
        style, x, anchor, text = "k", left - 6, "end", name
    else:
        style, x, anchor, text = (
            ("inv", left + 6, "start", short) if right - left > 40 else ("k", left - 6, "end", short)
        )
    return format_html(
        '{}<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>', bar, style, f"{x:.1f}", top + 12, anchor, text
    )


@register.filter
def grouped(code: str) -> str:
    """A check code in groups of eight, to be compared by eye."""
    return " ".join(code[at : at + 8] for at in range(0, len(code), 8))


@register.simple_tag
def check_ticks(code: str, width: int = 640) -> SafeString:
    """A check code drawn as ticks of a ruler, one per hexadecimal digit; for comparing only, the signature decides."""
    step = width / max(1, len(code))
    bars = format_html_join(
        "",
        '<rect class="r-on" x="{}" y="{}" width="{}" height="{}"/>',
        (
            (f"{index * step + 2:.1f}", f"{44 - tall:.1f}", f"{max(1.0, step - 5):.1f}", f"{tall:.1f}")
            for index, tall in enumerate(4 + int(digit, 16) * 2.4 for digit in code)
        ),
    )
    return format_html(
        '<svg class="chart" viewBox="0 0 {} 48" role="img" aria-label="{}">{}<path d="M0 46.5H{}"/></svg>',
        width,
        gettext("The check code, drawn"),
        bars,
        width,
    )


# ---- the data map picture ------------------------------------------------------------------------------------------

_MARK_LIMIT = 6
_MARK_ORDER = ("go", "wait", "hold", "use", "late")


@dataclass(frozen=True)
class MapCell:
    """Marks of one company in one column: (mark, sensitive, how many), at most six drawn singly."""

    marks: tuple[tuple[str, bool, int], ...]
    single: bool
    text: str


@register.inclusion_tag("parts/datamap.html")
def data_map(companies: Sequence[MapCompany], today: date) -> dict[str, object]:
    """Who holds what, and the last year anything of a kind remains. See parts/datamap.html for the attributes."""
    years = [kind.last_year for company in companies for kind in company.kinds if kind.last_year]
    first = min([*(year for year in years if year >= today.year), today.year + 1])
    columns = [first + offset for offset in range(5)]
    beyond = any(year > columns[-1] for year in years)
    heads = [gettext("now"), *(str(year) if year == first else str(year)[2:] for year in columns), gettext("no date")]
    if beyond:
        heads[5] = f"{heads[5]}+"

    def column(kind: MapKind) -> int:
        if mark(kind.fate) == "go":
            return 0
        if not kind.last_year:
            return 6
        return 1 + min(max(kind.last_year, first) - first, 4)

    rows = []
    for company in companies:
        cells = []
        for index in range(7):
            kinds = sorted(
                (kind for kind in company.kinds if column(kind) == index),
                key=lambda kind: _MARK_ORDER.index(mark(kind.fate)),
            )
            cells.append(_map_cell(kinds))
        rows.append({"company": company, "cells": cells, "nil": not company.kinds})
    return {"heads": heads, "rows": rows}


def _map_cell(kinds: Sequence[MapKind]) -> MapCell:
    pairs = [(mark(kind.fate), bool(kind.sensitive)) for kind in kinds]
    single = len(pairs) <= _MARK_LIMIT
    if single:
        marks = tuple((name, sensitive, 1) for name, sensitive in pairs)
    else:
        names = sorted({name for name, _ in pairs}, key=_MARK_ORDER.index)
        marks = tuple((name, any(s for n, s in pairs if n == name), sum(n == name for n, _ in pairs)) for name in names)
    words = {
        "go": gettext("can go now"),
        "wait": gettext("waiting"),
        "hold": gettext("kept by law"),
        "use": gettext("used for the service"),
        "late": gettext("cannot be reached"),
    }
    said = [
        f"{sum(n == name for n, _ in pairs)} {words[name]}" for name in _MARK_ORDER if any(n == name for n, _ in pairs)
    ]
    if any(sensitive for _, sensitive in pairs):
        said.append(gettext("some sensitive"))
    return MapCell(marks, single, _listed(said))
