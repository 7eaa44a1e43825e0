"""What a reviewer saw when they decided: sealed into the form, and held against what is there when it comes back."""

from collections.abc import Mapping
from typing import Any

from django.core import signing
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from rights.datamap import DataMap
from rights.kernel.plan import Plan
from rights.models import Request
from rights.web.case_words import collection_label

SALT = "desk.version"


def seal_version(item: Request, plan: Plan | None) -> str:
    """What a page showed of a case, signed, to be compared when the decision comes back."""
    return signing.dumps(_snapshot(item, plan), salt=SALT, compress=True)


def _snapshot(item: Request, plan: Plan | None) -> dict[str, Any]:
    questions = list(item.questions.all())
    return {
        "case": str(item.pk),
        "state": item.state,
        "reviewer": str(item.reviewer_id or ""),
        "facts": [
            str(item.approved_at or ""),
            str(item.extended_at or ""),
            len(questions),
            sum(1 for question in questions if question.answered_at),
        ],
        "message": str(item.unanswered_since or ""),
        "lines": _line_digests(plan) if plan else [],
        "blockers": sorted(fact.key for fact in plan.blockers) if plan else [],
        "unknown": sorted(plan.unknown) if plan else [],
    }


def _line_digests(plan: Plan) -> list[list[Any]]:
    return [
        [line.collection, line.fate.value, line.count, line.key, line.rule or "",
         str(line.first_release or ""), str(line.last_release or ""), line.open_ended]
        for line in plan.lines
        if line.count
    ]  # fmt: skip


def what_changed(version: str, item: Request, plan: Plan | None, data_map: DataMap) -> list[str]:
    """What is different from what the reviewer saw, in words; empty where nothing is.

    `plan` None compares the case alone: a question or a refusal rests on no plan.
    """
    try:
        seen = signing.loads(version, salt=SALT)
    except signing.BadSignature:
        return [_("The page was too old to tell what you saw.")]
    fresh = _snapshot(item, plan)
    if seen["case"] != fresh["case"]:
        return [_("The form belongs to another case.")]
    found = []
    if seen["state"] != fresh["state"]:
        found.append(_("The case has moved on."))
    if seen["reviewer"] != fresh["reviewer"] and fresh["reviewer"]:
        found.append(_("Somebody else has taken this case."))
    if seen["facts"] != fresh["facts"] and not found:
        found.append(_("Something was decided or answered meanwhile."))
    if fresh["message"] and seen.get("message") != fresh["message"]:
        found.append(_("The person has written meanwhile."))
    if plan is not None:
        found += _changed_lines(seen, fresh, data_map)
    return found


def _changed_lines(seen: Mapping[str, Any], fresh: Mapping[str, Any], data_map: DataMap) -> list[str]:
    language = get_language() or "zh-hans"
    found = []
    before, after = _by_collection(seen["lines"]), _by_collection(fresh["lines"])
    silent = set(fresh["unknown"]) ^ set(seen["unknown"])
    for collection in dict.fromkeys([*before, *after]):
        item = data_map.collections.get(collection)
        if item and item.system in silent:
            continue  # nothing is known of its records, which is said below; they are not gone
        old, new = before.get(collection, []), after.get(collection, [])
        if old != new:
            found.append(
                _("%(name)s: %(before)s, now %(after)s.")
                % {
                    "name": collection_label(collection, data_map, language),
                    "before": _fates_words(old),
                    "after": _fates_words(new),
                }
            )
    names = {key: item.label(language) for key, item in data_map.blockers.items()}
    arrived, cleared = (
        sorted(set(one["blockers"]) - set(other["blockers"])) for one, other in ((fresh, seen), (seen, fresh))
    )
    found += [_("New in the way: %(what)s.") % {"what": names.get(key, key)} for key in arrived]
    found += [_("No longer in the way: %(what)s.") % {"what": names.get(key, key)} for key in cleared]
    for key in sorted(silent):
        system = data_map.systems[key].label(language) if key in data_map.systems else key
        found.append(
            _("%(system)s does not answer now.") % {"system": system}
            if key in fresh["unknown"]
            else _("%(system)s answers again.") % {"system": system}
        )
    return found


def _by_collection(lines: list[list[Any]]) -> dict[str, list[list[Any]]]:
    found: dict[str, list[list[Any]]] = {}
    for line in lines:
        found.setdefault(line[0], []).append(line[1:])
    return found


def _fates_words(lines: list[list[Any]]) -> str:
    words = {
        "erase": _("%(n)s to erase"),
        "mask": _("%(n)s to blank"),
        "blocked": _("%(n)s blocked"),
        "person": _("%(n)s to be judged"),
        "hold": _("%(n)s held"),
        "keep": _("%(n)s in use"),
    }
    told = [words.get(line[0], "%(n)s") % {"n": f"{line[1]:,}"} for line in lines]
    return " + ".join(told) or _("none")
