"""What one company holds about a person, as its page wants it: each kind with why, on what ground, from where, who
received it, until when, and the rights that apply to it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.utils.translation import gettext as _

from rights.datamap import Collection, DataMap
from rights.kernel.plan import GOING, Fate, Line, Plan
from rights.kernel.retention import Rule
from rights.kernel.states import Kind
from rights.templatetags.look import listed, next_day, on_text
from rights.web.present import PlanLine, listed_parties, present_line
from rights.wording import ground_words


@dataclass(frozen=True)
class Ending:
    """What becomes of some of a kind's records, and when."""

    fate: Fate
    count: int
    text: str
    law: str


@dataclass(frozen=True)
class KindView:
    """One kind of data at one company. `rights` are those that apply to it, each with where it is asked for."""

    name: str
    count: int
    sensitive: bool
    purpose: str
    ground: str
    source: str
    recipients: str
    endings: tuple[Ending, ...]
    rights: tuple[tuple[Kind, str], ...]


def present_kinds(
    plan: Plan, data_map: DataMap, *, entity: str, rules: Sequence[Rule], ask: Callable[..., str], language: str
) -> list[KindView]:
    """The kinds of which the company holds anything, in the map's order. `ask`: the address of a page of asking, by its
    name, the kind of request and what the page starts with."""
    citations = {rule.label: rule.citation for rule in rules}
    held = [line for line in plan.lines if line.entity == entity and line.count]
    return [
        _kind_view(
            data_map.collections[key],
            [(line, present_line(line, plan, data_map, language=language, citations=citations)) for line in lines],
            data_map,
            ask=ask,
            language=language,
        )
        for key, lines in groupby(held, key=lambda line: line.collection)
        if key in data_map.collections
    ]


def _kind_view(
    item: Collection,
    lines: Sequence[tuple[Line, PlanLine]],
    data_map: DataMap,
    *,
    ask: Callable[..., str],
    language: str,
) -> KindView:
    return KindView(
        name=item.label(language),
        count=sum(line.count for line, _shown in lines),
        sensitive=item.sensitive,
        purpose=item.purpose(language),
        ground=ground_words(item, language),
        source=item.source(language) if item.source else _("From you, or made while you used the service"),
        recipients=listed_parties(name(language) for name in item.recipients) or _("Nobody outside the company"),
        endings=tuple(
            Ending(line.fate, line.count, _ending(line, shown, data_map, language=language), shown.basis)
            for line, shown in lines
        ),
        rights=tuple(_rights(item, [line for line, _shown in lines], data_map, ask=ask)),
    )


def _ending(line: Line, shown: PlanLine, data_map: DataMap, *, language: str) -> str:
    """Until when it is held, in words."""
    match line.fate:
        case Fate.BLOCKED:
            names = listed(data_map.blockers[key].label(language) for key in line.blockers if key in data_map.blockers)
            return _("Waits for this: %(what)s") % {"what": names} if names else shown.text
        case Fate.HOLD if line.last_release is None:
            return _("Kept by law; the period has not begun")
        case Fate.HOLD:
            first, last = line.first_release, line.last_release
            words = (
                _("Kept by law, erased on %(last)s") if first == last
                else _("Kept by law, erased one by one, %(first)s to %(last)s")
            )  # fmt: skip
            text = words % {"first": on_text(next_day(first)), "last": on_text(next_day(last))}
            return _("%(text)s; for some the period has not begun") % {"text": text} if line.open_ended else text
        case fate if fate in GOING:
            return _("Can go now: %(why)s") % {"why": shown.text}
    return shown.text


def _rights(
    item: Collection, lines: Sequence[Line], data_map: DataMap, *, ask: Callable[..., str]
) -> Iterator[tuple[Kind, str]]:
    yield Kind.ACCESS, ask("start", Kind.ACCESS, company=item.entity)
    if any(key == item.key for correction in data_map.corrections.values() for key, _field in correction.fields):
        yield Kind.CORRECTION, ask("start", Kind.CORRECTION)
    if item.consent in data_map.consents:
        yield Kind.WITHDRAWAL, ask("start", Kind.WITHDRAWAL, purpose=item.consent)
    if any(line.fate is Fate.KEEP for line in lines) and item.while_relationship:
        yield Kind.CANCELLATION, ask("plan", Kind.CANCELLATION)
    if any(line.fate in {*GOING, Fate.BLOCKED, Fate.HOLD, Fate.PERSON} for line in lines):
        yield Kind.DELETION, ask("plan", Kind.DELETION, company=item.entity)
