"""How far a request is: each system's progress, what became of which records, what is held, and the receipt of it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from portal.core.ledger import read_chain
from rights.actions.gates import is_stopped
from rights.actions.packages import name_systems
from rights.datamap import DataMap
from rights.kernel.clock import local_day
from rights.kernel.decisions import REASONS
from rights.kernel.plan import Fate, Line, Plan, without
from rights.kernel.states import Kind, State
from rights.models import Hold, Request, Step
from rights.queries import active_rules, reviewed_collections
from rights.templatetags.look import hour, listed, records
from rights.web.present import PlanLine, PlanView, present_plan
from rights.web.present_request import ERASING
from rights.wording import cite, ground_words

LATELY = timedelta(days=90)
"""How long a released hold is still told beside what is held."""

# ---- how far each system is ----------------------------------------------------------------------------------------


_KIND_OF_VERB = {
    "export": "access",
    "supplement": "access",
    "correct": "correction",
    "consent": "withdrawal",
    "stop": "withdrawal",
    "close": "cancellation",
}


@dataclass
class _Row:
    """The steps of one company that are in one state."""

    entity: str
    state: str
    kind: str
    company: str = ""
    names: list[str] = field(default_factory=list)
    done: int = 0
    total: int = 0
    held: dict[str, tuple[int, int]] = field(default_factory=dict)
    again: str = ""
    blockers: tuple[str, ...] = ()


def present_steps(request: Request, *, plan: Plan | None, data_map: DataMap, language: str) -> list[dict[str, Any]]:
    """One row per company and state of work: what is done, under way, failed, and what still waits for a fact."""
    rows: dict[tuple[str, ...], _Row] = {}
    # What is asked of others stands on its own: see `present_handovers`.
    for step in request.steps.exclude(verb__in=["release", "ask"]).order_by("round", "ordinal"):
        item = data_map.collections.get(step.collection)
        entity, state, kind = item.entity if item else "", _step_state(step), _KIND_OF_VERB.get(step.verb, "deletion")
        if step.state == Step.State.DONE and step.verb in {*ERASING, "correct"} and not step.done:
            continue
        company = _package_words(step, state, data_map=data_map, language=language)
        row = rows.setdefault((entity, state, kind, company), _Row(entity, state, kind, company))
        row.names.append(data_map.label_of(step.collection, language))
        if state == "held":
            # Each round holds anew all that stays, so the last one of a collection is what is held of it.
            before = row.held.get(step.collection, (step.round, 0))
            row.held[step.collection] = (step.round, step.done + (before[1] if before[0] == step.round else 0))
            row.done = sum(done for _round, done in row.held.values())
        else:
            row.done += step.done
        row.total += step.expected
        row.again = _again_words(step, state)
    if plan and request.round and request.state != State.CLOSED:
        for line in plan.of(Fate.BLOCKED):
            item = data_map.collections.get(line.collection)
            key = (line.entity, "blocked", "deletion")
            row = rows.setdefault(key, _Row(*key, blockers=line.blockers))
            row.names.append(item.label(language) if item else line.collection)
            row.done += line.count
    return [_step_row(row, data_map=data_map, language=language) for row in rows.values()]


def _package_words(step: Step, state: str, *, data_map: DataMap, language: str) -> str:
    """What stands where a company does for steps that make a package; empty for others."""
    match step.verb:
        case "export":
            return _("Your package")
        case "supplement":
            words = _("Added to your package: %(names)s") if state == "done" else _("Still missing: %(names)s")
            return words % {"names": name_systems(step.params["systems"], data_map)(language)}
        case _:
            return ""


def _step_state(step: Step) -> str:
    match step.state:
        case Step.State.DEAD:
            return "failed"
        case Step.State.RUNNING:
            return "acting"
        case Step.State.READY if is_stopped(step):
            return "halted"
        case Step.State.READY:
            # Of what a package needs one system is away, not all of it; what is added to it was out of reach before.
            is_away = step.verb == "supplement" or (step.error and step.verb != "export")
            return "unreachable" if is_away else "queued"
        case _ if step.verb == "hold":
            return "held"
        case _ if step.verb in ERASING:
            return "erased"
        case _:
            return "done"


def _again_words(step: Step, state: str) -> str:
    """When what waits for a system is tried again; empty where nothing does."""
    at = {"hour": hour(step.not_before)}
    if state == "queued" and step.error:
        return _("A system did not answer. We try again at %(hour)s; your date does not change.") % at
    if state != "unreachable":
        return ""
    if step.verb == "supplement":
        return _("We try again at %(hour)s and tell you once it is there.") % at
    return _("We try again at %(hour)s; your date does not change.") % at


def _step_row(row: _Row, *, data_map: DataMap, language: str) -> dict[str, Any]:
    entity = data_map.entities.get(row.entity)
    note, url, link = "", "", ""
    if (
        row.state in {"erased", "held", "done", "blocked"}
        and row.done
        and row.kind not in {"cancellation", "withdrawal"}
    ):
        note = records(row.done)
    if row.again:
        note = row.again
    if row.state == "halted":
        note = _("We have paused deletions here. It goes on by itself; your date does not change.")
    for stated in (data_map.blockers[key] for key in row.blockers if key in data_map.blockers):
        note = f"{stated.label(language)} · {note}"
        url, link = stated.fix_url, stated.fix(language) if stated.fix else ""
        break
    return {
        "company": row.company or (entity.service(language) if entity else _("All companies")),
        "data": listed(list(dict.fromkeys(row.names))) if entity else "",
        "state": row.state, "kind": row.kind, "done": row.done, "total": row.total,
        "note": note, "url": url if link else "", "link": link,
    }  # fmt: skip


# ---- what became of what -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One fate of a begun request: a section of `parts/outcome.html`."""

    anchor: str
    fate: str
    title: str
    text: str
    lines: tuple[PlanLine, ...]

    @property
    def count(self) -> int:
        return sum(line.count for line in self.lines)


@dataclass(frozen=True)
class Outcome:
    """What is gone, goes, waits and stays, once a request has begun; the parts add up to `total`."""

    parts: tuple[Part, ...]

    def _sum(self, *fates: str) -> int:
        return sum(part.count for part in self.parts if part.fate in fates)

    @property
    def gone(self) -> int:
        return self._sum("done")

    @property
    def going(self) -> int:
        return self._sum("go")

    @property
    def waiting(self) -> int:
        return self._sum("wait")

    @property
    def staying(self) -> int:
        return self._sum("hold", "use")

    @property
    def total(self) -> int:
        return sum(part.count for part in self.parts)


def present_outcome(
    request: Request, *, plan: Plan | None, data_map: DataMap, language: str, today: date
) -> Outcome | None:
    """What became of which records. None before the first round, when the plan says it, and where nothing is erased."""
    if not request.round or Kind(request.kind) in {Kind.ACCESS, Kind.CORRECTION}:
        return None
    steps = list(request.steps.order_by("round", "ordinal"))
    gone: dict[str, int] = {}
    going: dict[str, int] = {}
    for step in steps:
        if step.verb in {*ERASING, "release"} and step.done:
            gone[step.collection] = gone.get(step.collection, 0) + step.done
        if step.verb in ERASING and step.state != Step.State.DONE and step.expected > step.done:
            going[step.collection] = going.get(step.collection, 0) + step.expected - step.done
    holds = list(request.holds.all())
    seen = {hold.collection for hold in holds}
    decided = reviewed_collections(request)
    rest = plan and _rest_of(plan, seen=seen, decided=decided, data_map=data_map, language=language, today=today)
    line = _LineMaker(data_map, language)
    parts = [
        Part(
            "gone", "done", _("Deleted"), _("We looked again and found none of it."),
            tuple(line(key, count, Fate.ERASE) for key, count in gone.items()),
        ),
        Part(
            "going", "go", _("Still to be deleted"), "",
            tuple(line(key, count, Fate.ERASE) for key, count in going.items()),
        ),
    ]  # fmt: skip
    if rest:
        parts += [
            Part(
                "waiting", "wait", _("Waits for something"),
                _("Once it is settled this part goes on by itself; you need not ask again."), rest.waiting.lines,
            ),
            Part("person", "wait", _("A person decides"), "", rest.person.lines),
        ]  # fmt: skip
    technical = [hold for hold in holds if hold.key == "HOLD.TECHNICAL"]
    lawful = [hold for hold in holds if hold.key != "HOLD.TECHNICAL"]
    held = tuple(item.line for item in group_holds(lawful, data_map=data_map, language=language))
    stored = tuple(item.line for item in group_holds(technical, data_map=data_map, language=language))
    parts.append(
        Part(
            "kept", "hold", _("Kept by law"), _("Stored, not used. We delete each on its date and tell you."),
            (*held, *(rest.kept.lines if rest else ())),
        )
    )  # fmt: skip
    restricted = (*stored, *(rest.restricted.lines if rest else ()))
    parts.append(Part("restricted", "hold", _("Only stored from now on"), "", restricted))
    if rest:
        parts.append(Part("refused", "hold", _("Not covered by this right"), "", rest.refused.lines))
    settled = [
        line(item.collection, item.count, Fate.KEEP, text=_settled_text(decided[item.collection]), key=item.key)
        for item in (plan.of(Fate.PERSON) if plan else ())
        if item.collection in decided
    ]
    parts.append(Part("settled", "use", _("Settled by a case worker"), "", tuple(settled)))
    if rest:
        parts.append(
            Part(
                "use", "use", _("In use for your services"),
                _("You still use these services. It can go once you cancel them."), rest.in_use.lines,
            )
        )  # fmt: skip
    found = tuple(part for part in parts if part.lines)
    return Outcome(found) if found or request.kind == Kind.DELETION else None


def _rest_of(
    plan: Plan, *, seen: Collection[str], decided: Collection[str], data_map: DataMap, language: str, today: date
) -> PlanView:
    """What neither a step, a hold nor a decision tells better than the plan."""

    def untold(line: Line) -> bool:
        match line.fate:
            case Fate.BLOCKED | Fate.KEEP | Fate.REFUSE:
                return True
            case Fate.HOLD | Fate.RESTRICT:
                return line.collection not in seen
            case Fate.PERSON:
                return line.collection not in decided
            case _:
                return False

    return present_plan(without(plan, untold), data_map, language=language, today=today)


def _settled_text(decision: str) -> str:
    return {
        "keep": _("A case worker decided that it stays."),
        "refer": _("A case worker passed it on to the legal department, which tells you its answer."),
        "erase": _("A case worker decided that it goes."),
    }[decision]


@dataclass(frozen=True)
class _LineMaker:
    """Lines of what the plan does not tell any more."""

    data_map: DataMap
    language: str

    def __call__(self, collection: str, count: int, fate: Fate, *, text: str = "", key: str = "") -> PlanLine:
        item = self.data_map.collections.get(collection)
        reason = REASONS.get(key)
        return PlanLine(
            name=item.label(self.language) if item else collection,
            count=count,
            fate=fate,
            sensitive=bool(item and item.sensitive),
            company=self.data_map.entities[item.entity].service(self.language) if item else "",
            text=text or (item.purpose(self.language) if item else ""),
            why=reason.text(self.language) if reason else "",
            basis=cite(reason.basis, self.language) if reason else "",
            ground=ground_words(item, self.language) if item else "",
        )


# ---- what is held --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeldLine:
    """The holds of one collection under one rule."""

    entity: str
    line: PlanLine


def group_holds(holds: Iterable[Hold], *, data_map: DataMap, language: str) -> list[HeldLine]:
    """What is still held, one line per collection and rule, in the map's order."""
    groups: dict[tuple[str, str], list[Hold]] = {}
    for hold in holds:
        if hold.released_at is None:
            groups.setdefault((hold.collection, hold.rule), []).append(hold)
    citations = {rule.label: rule.citation for rule in active_rules()} if groups else {}
    order = {key: number for number, key in enumerate(data_map.collections)}
    make = _LineMaker(data_map, language)
    lines = []
    for (collection, rule), group in sorted(groups.items(), key=lambda pair: order.get(pair[0][0], len(order))):
        days = [hold.last_day for hold in group if hold.last_day]
        key = next((hold.key for hold in group if hold.last_day), group[0].key)
        line = make(collection, sum(hold.count for hold in group), Fate.HOLD, key=key)
        cited = dict.fromkeys(citations[label] for label in rule.split("/") if label in citations)
        line = replace(
            line,
            first_release=min(days, default=None),
            last_release=max(days, default=None),
            open_ended=sum(hold.count for hold in group if hold.last_day is None),
            rule=rule,
            basis=cite("；".join(cited), language) or line.basis,
        )
        lines.append(HeldLine(group[0].entity, line))
    return lines


def present_held(
    holds: Sequence[Hold], *, data_map: DataMap, language: str, now: datetime, since: datetime | None
) -> dict[str, Any]:
    """What is held by company, and what was released since a moment, as the pages of held records want it."""
    lines = group_holds(holds, data_map=data_map, language=language)
    companies: dict[str, list[PlanLine]] = {}
    for item in lines:
        companies.setdefault(item.entity, []).append(replace(item.line, company=""))
    return {
        "total": sum(item.line.count for item in lines),
        "companies": [
            {
                "name": data_map.entities[key].name(language) if key in data_map.entities else key,
                "count": sum(line.count for line in found),
                "lines": found,
            }
            for key, found in companies.items()
        ],
        "released": _released(holds, data_map=data_map, language=language, since=since),
    }


def _released(
    holds: Iterable[Hold], *, data_map: DataMap, language: str, since: datetime | None
) -> list[dict[str, Any]]:
    """What went because its date had come; a hold whose date was only moved is not among it."""
    make = _LineMaker(data_map, language)
    found: dict[tuple[str, date], int] = {}
    for hold in holds:
        if hold.released_at is None or hold.last_day is None or (since and hold.released_at < since):
            continue
        day = local_day(hold.released_at)
        if hold.last_day < day:
            found[hold.collection, day] = found.get((hold.collection, day), 0) + hold.count
    rows = []
    for (collection, day), count in sorted(found.items(), key=lambda pair: pair[0][1], reverse=True):
        line = make(collection, count, Fate.ERASE)
        rows.append({"on": day, "name": line.name, "company": line.company, "count": count})
    return rows


# ---- the receipt ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReceiptRow:
    """One line of a plan or an outcome on the receipt: `fate` is its mark, `word` what it says."""

    fate: str
    word: str
    line: PlanLine


def receipt_rows(outcome: Outcome | None, plan: PlanView | None) -> list[ReceiptRow]:
    """The fates as a table: what became of the records, before that what the plan says."""
    if outcome:
        return [ReceiptRow(part.fate, part.title, line) for part in outcome.parts for line in part.lines]
    if plan is None:
        return []
    sections = (
        ("go", _("Can go"), plan.going),
        ("wait", _("Waits for something"), plan.waiting),
        ("wait", _("A person decides"), plan.person),
        ("hold", _("Kept by law"), plan.kept),
        ("use", _("In use for your services"), plan.in_use),
        ("hold", _("Only stored from now on"), plan.restricted),
        ("hold", _("Not covered by this right"), plan.refused),
    )
    return [ReceiptRow(fate, word, line) for fate, word, section in sections for line in section.lines]


@dataclass(frozen=True)
class CheckCode:
    """The ledger entry of the filing: 64 hex digits in eight groups, and as bars for comparing two prints by eye."""

    digits: str

    @property
    def groups(self) -> list[str]:
        return [self.digits[start : start + 8] for start in range(0, len(self.digits), 8)]

    @property
    def bars(self) -> list[dict[str, int]]:
        """x and height of one bar a digit, 5 units apart; 0 is 2 units high, f is 32."""
        heights = [2 + 2 * int(digit, 16) for digit in self.digits]
        return [{"x": 5 * number, "y": 32 - height, "height": height} for number, height in enumerate(heights)]


def check_code(request: Request) -> CheckCode | None:
    """From the chain of this request; None where its filing is not in the ledger (a request from before it)."""
    entry = next((entry for entry in read_chain(request.pk) if entry.kind == "submitted"), None)
    return CheckCode(bytes(entry.hash).hex()) if entry else None
