"""What the pages of the desk call things: kinds, reasons, facts, outcomes, systems."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from rights.consents import ended_names
from rights.datamap import DataMap
from rights.kernel.plan import BlockerFact, Fate, Line
from rights.kernel.states import Kind
from rights.models import Request
from rights.web.present import shown_values


def kind_word(kind: str) -> str:
    """What a request of this kind is called on the desk. An unknown kind raises KeyError."""
    return {
        Kind.ACCESS: _("Copy"),
        Kind.CORRECTION: _("Correction"),
        Kind.DELETION: _("Deletion"),
        Kind.WITHDRAWAL: _("Withdrawal of consent"),
        Kind.CANCELLATION: _("Cancellation"),
    }[Kind(kind)]


def matter_of_case(request: Request, data_map: DataMap) -> str:
    """Kind and scope in a few words: what of whom, or how many of it."""
    language = get_language() or "zh-hans"
    details: Mapping[str, Any] = request.details
    kind = Kind(request.kind)
    if kind is Kind.CORRECTION:
        named = [data_map.corrections.get(item["correction"]) for item in details.get("items", ())]
        scope = [item.label(language) for item in named if item]
    elif kind is Kind.WITHDRAWAL:
        scope = ended_names(details, data_map, language)
    else:
        keys = list(details.get("entities", ()))
        everything = not keys or set(keys) >= set(data_map.entities)
        scope = (
            [_("everything")]
            if everything
            else [data_map.entities[key].service(language) for key in keys if key in data_map.entities]
        )
    scope = list(dict.fromkeys(scope))
    words = scope[0] if scope else ""
    if len(scope) > 1:
        words = ngettext("%(first)s and %(n)s more", "%(first)s and %(n)s more", len(scope) - 1) % {
            "first": scope[0], "n": len(scope) - 1,
        }  # fmt: skip
    return f"{kind_word(kind)} · {words}" if words else kind_word(kind)


def reason_words(key: str, data_map: DataMap) -> str:
    """Why a case came to the desk, in a few words."""
    known = {
        "POLICY.DELETION": _("every deletion is looked at"),
        "POLICY.CANCELLATION": _("every cancellation is looked at"),
        "SHARED.OWNERS": _("joint records"),
        "HOLD.NO_RULE": _("no rule in force"),
        "NEED.EVIDENCE": _("proof of identity"),
        "OK.MINOR": _("a child's data"),
        "DECEASED.REVIEW": _("a relative of somebody who died"),
        "REPEAT.FEE_OR_REFUSE": _("the same copy again"),
        "REPEAT.ABUSE": _("asked many times"),
        "AGENT.UNAUTHORISED": _("no valid authority"),
        "ID.UNVERIFIED": _("identity not proved"),
        "SYSTEM.UNKNOWN": _("a system does not answer"),
        "POLICY.ACCESS": _("every copy is looked at"),
        "POLICY.CORRECTION": _("every correction is looked at"),
        "POLICY.WITHDRAWAL": _("every withdrawal is looked at"),
    }
    if key in known:
        return known[key]
    if key in data_map.blockers:
        return data_map.blockers[key].label(get_language() or "zh-hans")
    return key


def fact_words(fact: BlockerFact) -> str:
    """What a business system says of the fact in the way: contract L2, ¥4,260.00."""
    return ("；" if is_chinese() else "; ").join(text for text in shown_values(fact) if text)


def outcome_words(line: Line, data_map: DataMap) -> str:
    """What becomes of a line's records."""
    match line.fate:
        case Fate.ERASE:
            return _("erased")
        case Fate.MASK:
            return _("blanked out")
        case Fate.BLOCKED:
            return ", ".join(reason_words(key, data_map) for key in line.blockers) or _("waits")
        case Fate.PERSON:
            return _("you decide")
        case Fate.HOLD if line.last_release and line.first_release != line.last_release:
            return _("one by one until %(day)s") % {"day": line.last_release.isoformat()}
        case Fate.HOLD if line.last_release:
            return _("kept until %(day)s") % {"day": line.last_release.isoformat()}
        case Fate.HOLD:
            return _("the period has not begun")
        case Fate.KEEP:
            return _("in use")
        case Fate.RESTRICT:
            return _("only stored from now on")
        case Fate.REFUSE:
            return _("not covered: %(reason)s") % {"reason": reason_words(line.key, data_map)}
        case _:
            return _("not known")


def is_chinese() -> bool:
    return (get_language() or "zh").startswith("zh")


def system_label(key: str, data_map: DataMap, language: str) -> str:
    if key in data_map.asked:
        return data_map.entities[data_map.asked[key].entity].service(language)
    return data_map.systems[key].label(language) if key in data_map.systems else key


def collection_label(key: str, data_map: DataMap, language: str) -> str:
    return data_map.label_of(key, language)
