"""A request as the person follows it: whose turn it is, what was asked and decided, what happened.

Everything here reads the portal's own rows and turns them into words; nothing asks a business system.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Any

from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from accounts.models import User
from rights.actions.gates import is_stopped
from rights.actions.handovers import NAMING
from rights.actions.packages import name_systems
from rights.consents import ended_names
from rights.datamap import DataMap
from rights.kernel.clock import local_day
from rights.kernel.decisions import REASONS
from rights.kernel.plan import Fate, Plan
from rights.kernel.states import Kind, State
from rights.models import Appeal, Decision, Event, Question, Request, Step
from rights.queries import Due, appeal_due, due_of, open_fee, starts_clock
from rights.templatetags.look import day_text, gap, limit_text, listed, records
from rights.web.present import CaseView, mask_value, present_case, service_names
from rights.wording import cite

ERASING = ("erase", "mask")
FEE_ENDINGS = ("FEE.DECLINED", "FEE.UNANSWERED")


# ---- the case: title, clock, whose turn ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """Whom the request waits for and since when, in one bold sentence and what follows it."""

    tone: str
    lead: str
    text: str = ""


@dataclass(frozen=True)
class FollowedCase(CaseView):
    """A case with what its own page says beyond the lists: `outcome` is how a closed one came out, in one line."""

    turn_tone: str = ""
    turn_lead: str = ""
    turn_text: str = ""
    outcome: str = ""
    can_withdraw: bool = False
    can_stop: bool = False


def follow_case(request: Request, data_map: DataMap, *, language: str, now: datetime) -> FollowedCase:
    """A submitted request, followed. Raises ValueError for a draft."""
    case = present_case(request, data_map, language=language, now=now)
    turn = _turn(request, due=due_of(request, now=now), data_map=data_map, language=language, now=now)
    return FollowedCase(
        **vars(case),
        turn_tone=turn.tone,
        turn_lead=turn.lead,
        turn_text=turn.text,
        outcome=_outcome_words(request, data_map=data_map, language=language) if case.closed else "",
        can_withdraw=not case.closed and not request.round,
    )


def _since(request: Request) -> datetime:
    """The moment it came into its present state, from the events it was moved by."""
    moved = request.events.filter(body__to=request.state).order_by("-id").values_list("at", flat=True).first()
    return moved or request.received_at or request.created_at


def _turn(request: Request, *, due: Due, data_map: DataMap, language: str, now: datetime) -> Turn:
    since = _since(request)
    day = {"day": day_text(since)}
    state = State(request.state)
    if state is State.CLOSED and (appeal := request.appeals.filter(decided_at=None).first()):
        return _appeal_turn(appeal, on=local_day(now))
    if state is State.CLOSED:
        return _closed_turn(request, day=day, data_map=data_map, language=language)
    if due.is_late:
        lead = ngettext("We are %(n)s day late.", "We are %(n)s days late.", -due.days_left) % {"n": -due.days_left}
        return Turn("late", lead, _("That is our failure. Your case now comes first; you can complain or sue today."))
    match state:
        case State.WAITING:
            lead = _("We wait for you since %(day)s.") % day
            if fee := open_fee(request):
                text = _("Accept or decline the fee by %(day)s. Until then the days do not count.")
                return Turn("wait", lead, text % {"day": day_text(fee.answer_by)})
            return Turn("wait", lead, _("Until you answer the days do not count."))
        case State.DEFERRED:
            return _deferred_turn(request, day=day, data_map=data_map, language=language)
        case State.REVIEW:
            return Turn(
                "",
                _("A case worker has it since %(day)s.") % day,
                _("They look at the plan and decide with a reason. There is nothing for you to do now."),
            )
        case State.ACTING if not request.round:
            return Turn(
                "",
                _("Approved on %(day)s.") % {"day": day_text(request.approved_at or since)},
                _("The systems begin in a moment. Until then you can take the request back."),
            )
        case State.ACTING if _is_halted(request):
            return Turn(
                "",
                _("We have paused deletions for now."),
                _("Your request goes on by itself afterwards; there is nothing for you to do. Its date stands."),
            )
        case State.ACTING:
            return Turn("", _("The systems are at it since %(day)s.") % day, _("There is nothing for you to do now."))
        case _:
            return Turn("", _("We are checking it since %(day)s.") % day, _("There is nothing for you to do now."))


def _appeal_turn(appeal: Appeal, *, on: date) -> Turn:
    due = appeal_due(appeal)
    if on > due:
        late = (on - due).days
        lead = ngettext("We are %(n)s day late with your appeal.", "We are %(n)s days late with your appeal.", late) % {
            "n": late
        }
        return Turn("late", lead, _("That is our failure. You can complain or sue today."))
    return Turn(
        "",
        _("Your appeal is being reviewed since %(day)s.") % {"day": day_text(appeal.filed_at)},
        _("Somebody who had no part in the decision tells you the result by %(day)s.") % {"day": day_text(due)},
    )


def _is_halted(request: Request) -> bool:
    """Whether it waits for nothing but that erasures go on."""
    steps = [step for step in request.steps.all() if step.verb != "release" and step.state != Step.State.DONE]
    only = all(step.state == Step.State.READY and (is_stopped(step) or not step.error) for step in steps)
    return only and any(map(is_stopped, steps))


def latest_plan(request: Request) -> Plan | None:
    """The newest of the plans kept with the request: as asked or planned again, and as approved."""
    plans = [Plan.from_json(data) for data in (request.plan, request.approved_plan) if data]
    return max(plans, key=lambda plan: plan.read_at, default=None)


def _closed_turn(request: Request, *, day: Mapping[str, str], data_map: DataMap, language: str) -> Turn:
    if request.closing_key == "WITHDRAWN":
        return Turn(
            "", _("You took this request back on %(day)s.") % day, _("Nothing was changed. You can ask again any time.")
        )
    if request.closing_key in FEE_ENDINGS:
        lead = _("Ended on %(day)s without a copy.") % day
        return Turn("", lead, REASONS[request.closing_key].text(get_language() or ""))
    decision = _last_decision(request)
    if decision and decision.outcome == "refuse":
        return Turn(
            "",
            _("We did not agree, on %(day)s.") % day,
            _("The reason stands below. You can appeal, and you can complain or sue."),
        )
    outcome = _("%(outcome)s.") % {"outcome": _outcome_words(request, data_map=data_map, language=language)}
    if missing_systems(request):
        again = _("We keep trying by ourselves, add what is missing and tell you; you need not ask again.")
        rights = _("You may complain to the regulator or go to court at any time.")
        return Turn("", _("Done on %(day)s, but for one part.") % day, gap().join([outcome, again, rights]))
    lead = _("Done on %(day)s.") % day
    held = request.holds.filter(released_at__isnull=True).exists()
    if held:
        return Turn("go", lead, _("What the law keeps goes on its date by itself; you need not ask again."))
    return Turn("go", lead, outcome)


def _deferred_turn(request: Request, *, day: Mapping[str, str], data_map: DataMap, language: str) -> Turn:
    plan = latest_plan(request)
    keys = sorted({key for line in plan.of(Fate.BLOCKED) for key in line.blockers}) if plan else []
    labels = [data_map.blockers[key].label(language) for key in keys if key in data_map.blockers]
    if not labels:
        return Turn("wait", _("It waits since %(day)s.") % day)
    texts = dict.fromkeys(_reason_text(key, language) for key in keys)
    lead = _("It waits since %(day)s: %(facts)s.") % {**day, "facts": listed(labels)}
    return Turn("wait", lead, gap().join(text for text in texts if text))


def _reason_text(key: str, language: str) -> str:
    return REASONS[key].text(language) if key in REASONS else ""


def _last_decision(request: Request) -> Decision | None:
    return max(request.decisions.all(), key=lambda decision: (decision.decided_at, decision.pk), default=None)


def missing_systems(request: Request) -> list[str]:
    """The systems whose part of an access package could not be had yet, by their keys."""
    steps = [step for step in request.steps.all() if step.verb == "supplement" and step.state != Step.State.DONE]
    return sorted({key for step in steps for key in step.params["systems"]})


def _outcome_words(request: Request, *, data_map: DataMap, language: str) -> str:
    """How a closed request came out, in one line, derived from what was done and what stays."""
    if request.closing_key == "WITHDRAWN":
        return _("Taken back")
    if request.closing_key in FEE_ENDINGS:
        return _("Ended without a copy")
    decision = _last_decision(request)
    if decision and decision.outcome == "refuse":
        return _("Not agreed")
    done = dict.fromkeys(("erase", "mask", "correct", "export", "supplement", "consent", "close"), 0)
    for step in request.steps.all():
        if step.verb in done:
            done[step.verb] += step.done
    kept = sum(hold.count for hold in request.holds.all() if hold.released_at is None)
    parts = {
        Kind.ACCESS: [_("%(records)s handed out") % {"records": records(done["export"] + done["supplement"])}],
        Kind.CORRECTION: [_("corrected in %(records)s") % {"records": records(done["correct"])}],
        Kind.WITHDRAWAL: [_("the use has stopped")],
        Kind.CANCELLATION: [_("the service has ended")],
        Kind.DELETION: [],
    }[Kind(request.kind)]
    if gone := done["erase"] + done["mask"]:
        parts.append(_("%(records)s deleted") % {"records": records(gone)})
    if kept:
        parts.append(_("%(records)s kept by law") % {"records": records(kept)})
    words = listed(parts) if parts else _("There was nothing to delete")
    if missing := missing_systems(request):
        names = name_systems(missing, data_map)(language)
        return _("%(outcome)s; still missing: %(names)s") % {"outcome": words, "names": names}
    return words


# ---- what was asked, what was decided ------------------------------------------------------------------------------


def present_asked(request: Request, *, data_map: DataMap, language: str, values: bool = True) -> list[dict[str, str]]:
    """What the person asked for, as label and value. Without `values` a correction names the fields alone."""
    details: Mapping[str, Any] = request.details
    match Kind(request.kind):
        case Kind.ACCESS | Kind.DELETION:
            wanted = set(details.get("entities") or ())
            names = [entity.name(language) for key, entity in data_map.entities.items() if key in wanted]
            everywhere = not names or len(names) == len(data_map.entities)
            rows = [(_("Companies"), _("All companies") if everywhere else listed(names))]
        case Kind.CANCELLATION:
            chosen = service_names(details.get("entities") or (), data_map, language)
            everything = not chosen or len(chosen) == len(data_map.entities)
            rows = [(_("Services"), _("all of all companies") if everything else listed(chosen))]
            if given_up := [*(details.get("forfeits") or ()), *(details.get("waived") or ())]:
                labels = [data_map.blockers[key].label(language) for key in given_up if key in data_map.blockers]
                rows.append((_("Given up"), listed(labels or given_up)))
        case Kind.WITHDRAWAL:
            rows = [(_("Consents"), listed(ended_names(details, data_map, language)))]
        case Kind.CORRECTION:
            rows = []
            for item in details.get("items", ()):
                stated = data_map.corrections.get(item["correction"])
                label = stated.label(language) if stated else item["correction"]
                rows.append(
                    (
                        label,
                        f"{mask_value(item['correction'], item['old'])} → {item['new']}" if values else _("corrected"),
                    )
                )
    return [{"label": label, "value": value} for label, value in rows]


def present_decision(request: Request, *, language: str) -> dict[str, Any] | None:
    """The last decision: what was written to the person, the reason from the table, the law after it."""
    decision = _last_decision(request)
    if decision is None:
        return None
    reason = REASONS.get(decision.key)
    stated = reason.text(language) if reason else ""
    refused = decision.outcome == "refuse"
    return {
        "text": decision.text or stated,
        "reason": stated if refused and decision.text.strip() not in {"", stated} else "",
        "basis": cite(reason.basis, language) if reason else "",
        "at": decision.decided_at,
        "extended": decision.outcome == "extend",
    }


def open_question(request: Request) -> Question | None:
    still_open = [question for question in request.questions.all() if question.answered_at is None]
    return min(still_open, key=lambda question: question.asked_at, default=None)


def present_settled_fee(request: Request) -> dict[str, Any] | None:
    """A fee that waits for no answer any more, and what came of it."""
    fee = next((fee for fee in request.fees.all() if fee.settled_at), None)
    if fee is None:
        return None
    words = {
        "accepted_at": _("accepted on %(day)s"),
        "declined_at": _("declined on %(day)s; nothing is owed"),
        "waived_at": _("waived on %(day)s; nothing is owed"),
        "lapsed_at": _("not answered by %(day)s; nothing is owed"),
    }
    how = next(name for name in words if getattr(fee, name))
    day = fee.answer_by if how == "lapsed_at" else fee.settled_at
    return {"amount": fee.amount, "reason": fee.reason, "words": words[how] % {"day": day_text(day)}}


# ---- what happened -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One moment of the timeline."""

    at: datetime
    text: str
    who: str = ""
    now: bool = False
    url: str = ""
    link: str = ""


HIDDEN = frozenset(
    {
        "claimed",
        "released_case",
        "retried",
        "warned",
        "step_dead",
        "check_owed",
        "handover_late",
        "supplement_late",
        "evidence",
        "told_again",
        "message",
        "message_read",
        "appeal_claimed",
        "relation_declared",
    }
)
"""What staff do among themselves, of which a person is told what comes; and messages, which stand in their thread."""


def present_events(request: Request, *, user: User, data_map: DataMap, language: str) -> list[Told]:
    """The timeline, newest first. Steps done in one go are told in one sentence per act; an unknown kind is left out.

    Ordered by id: a worker's later steps carry later moments than the close that it writes with its own `now`.
    """
    told: list[Told] = []
    words = _Words(request, data_map, language)
    events = list(request.events.exclude(kind__in=HIDDEN).order_by("-id"))
    shown_at = {event.at for event in events if event.kind in {"approved", "refused"}}
    for is_step, group in groupby(events, key=lambda event: event.kind == "step_done"):
        if is_step:
            told += words.of_steps(list(group))
            continue
        for event in group:
            if event.kind == "decided" and event.at in shown_at:
                continue
            text = words.of(event)
            if text:
                told.append(Told(event.at, text, who=_who(event, user)))
    question = open_question(request)
    if told and question:
        first = next((item for item in told if item.at == question.asked_at), None)
        if first:
            told[told.index(first)] = Told(
                first.at, first.text, who=first.who, url="#question", link=_("Answer the question")
            )
    return [Told(**{**vars(item), "now": index == 0}) for index, item in enumerate(told)]


def _who(event: Event, user: User) -> str:
    if event.kind in {"submitted", "answered", "taken_back", "fee_accepted", "fee_declined", "appealed"}:
        return "you" if event.actor_id == user.pk else ""
    staff = {
        "approved",
        "decided",
        "refused",
        "asked",
        "extended",
        "undone",
        "fee_quoted",
        "fee_waived",
        "appeal_upheld",
        "appeal_overturned",
    }
    return "staff" if event.kind in staff else ""


@dataclass(frozen=True)
class _Words:
    """Events as sentences, in the language of the page."""

    request: Request
    data_map: DataMap
    language: str

    def of(self, event: Event) -> str:
        sentence = _SENTENCES.get(event.kind)
        return sentence(self, event) if sentence else ""

    def starts_clock(self, **when: datetime) -> bool:
        """Whether the answer to a question of then is what the clock starts with."""
        asked = [
            question
            for question in self.request.questions.all()
            if all(getattr(question, name) == at for name, at in when.items())
        ]
        return any(
            question.missing and starts_clock(self.request, asked_on=local_day(question.asked_at)) for question in asked
        )

    def names(self, collections: Iterable[str]) -> str:
        return listed(list(dict.fromkeys(self.label(key) for key in collections)))

    def label(self, collection: str) -> str:
        item = self.data_map.collections.get(collection)
        return item.label(self.language) if item else collection

    def facts(self, keys: Iterable[str]) -> str:
        known = self.data_map.blockers
        return listed([known[key].label(self.language) for key in keys if key in known])

    def of_steps(self, events: Sequence[Event]) -> Iterator[Told]:
        """One sentence for each act among steps that were done one after the other, the latest act first."""
        acts: dict[str, list[Event]] = {}
        for event in events:
            verb = str(event.body.get("verb", ""))
            acts.setdefault("erase" if verb in ERASING else "consent" if verb in NAMING else verb, []).append(event)
        for verb, group in acts.items():
            text = self._of_act(verb, group)
            if text:
                yield Told(group[0].at, text)

    def _stopped(self, group: Sequence[Event]) -> str:
        """That a use has stopped, and who is to be told."""
        side = "en" if self.language.startswith("en") else "zh"
        names = dict.fromkeys(str(name[side]) for event in group for name in event.body.get("recipients", ()))
        stopped = _("The use has stopped; the systems were told.")
        if not names:
            return stopped
        return gap().join(
            [stopped, _("It is passed on to those who received the data: %(names)s.") % {"names": listed(names)}]
        )

    def _of_act(self, verb: str, group: Sequence[Event]) -> str:
        count = sum(int(event.body.get("count", 0)) for event in group)
        touched = [str(event.body["collection"]) for event in reversed(group) if event.body.get("count")]
        values = {"records": records(count), "names": self.names(touched)}
        match verb:
            case "erase" if count:
                return _("%(records)s deleted: %(names)s. We looked again and found none.") % values
            case "hold" if count:
                return _("%(records)s are now only stored, as the law asks: %(names)s.") % values
            case "release" if count:
                return _("%(records)s reached their date and were deleted: %(names)s.") % values
            case "correct" if count:
                return _("Corrected and read back: %(names)s.") % values
            case "correct":
                return _("The old value was not there any more; nothing to correct.")
            case "restrict" if count:
                return _("%(records)s are only stored from now on: %(names)s.") % values
            case "consent" | "stop":
                return self._stopped(group)
            case "close":
                entities = dict.fromkeys(
                    self.data_map.collections[key].entity for key in touched if key in self.data_map.collections
                )
                services = listed(service_names(entities, self.data_map, self.language))
                return _("Service ended: %(services)s.") % {"services": services} if services else ""
            case "export":
                return _("Your package is ready: %(records)s.") % values
            case "supplement":
                return _("What was missing from your package has been added: %(records)s.") % values
            case _:
                return ""


def _submitted(words: _Words, event: Event) -> str:
    return _("Request %(reference)s received.") % {"reference": words.request.reference}


def _decided(words: _Words, event: Event) -> str:
    if event.body.get("outcome") != "approve":
        return ""
    return _("A case worker approved it for the day that nothing is in the way any more.")


def _deferred(words: _Words, event: Event) -> str:
    facts = words.facts(event.body.get("blockers", ()))
    return _("Put off: %(facts)s.") % {"facts": facts} if facts else _("Put off until a matter is settled.")


def _started(words: _Words, event: Event) -> str:
    again = int(event.body.get("round", 1)) > 1
    return _("What had waited is being carried out.") if again else _("The systems began to carry it out.")


def _closed(words: _Words, event: Event) -> str:
    held = int(event.body.get("held", 0))
    done = _("Done.")
    if held:
        done = _("Done. %(records)s stay until their date, as the law asks.") % {"records": records(held)}
    # What one key says of the whole needs no sentence of its own; several say what became of each part.
    reasons = [_reason_text(str(key), words.language) for key in event.body.get("keys", ())[1:]]
    if Kind(words.request.kind) is Kind.WITHDRAWAL and not reasons:
        reasons = [_reason_text(str(event.body.get("key", "")), words.language)]
    return gap().join([done, *(text for text in reasons if text)])


def _breached(words: _Words, event: Event) -> str:
    day = day_text(date.fromisoformat(str(event.body["due"])))
    return _("We did not finish by %(day)s. That is our failure.") % {"day": day}


def _unblocked(words: _Words, event: Event) -> str:
    limit = limit_text(words.request.limit_days, working=words.request.working_days)
    return _("What stood in the way is settled. A new limit of %(limit)s began.") % {"limit": limit}


def _extended(words: _Words, event: Event) -> str:
    if until := event.body.get("until"):
        return _("The limit was extended once, until %(day)s.") % {"day": day_text(date.fromisoformat(str(until)))}
    return _("The limit was extended once.")


def _asked(words: _Words, event: Event) -> str:
    if words.starts_clock(asked_at=event.at):
        return _("We asked you for what was missing. Our limit begins on the day you answer.")
    return _("We asked you a question. The clock stands still.")


def _answered(words: _Words, event: Event) -> str:
    if words.starts_clock(answered_at=event.at):
        return _("Question answered. Our limit began on that day.")
    return _("Question answered. The clock goes on.")


def _fetched(words: _Words, event: Event) -> str:
    return _("The copy for somebody else was fetched.") if event.body.get("copy") else _("The package was downloaded.")


def _revoked(words: _Words, event: Event) -> str:
    if event.body.get("copy"):
        return _("The copy for somebody else was destroyed.")
    return _("The package was destroyed before its day.")


def _passed_on(words: _Words, event: Event) -> str:
    """Whom it was passed on to, and what they said."""
    values = {"name": event.body["name"]["en" if words.language.startswith("en") else "zh"]}
    match event.kind:
        case "told":
            return _("Passed on to %(name)s.") % values
        case "confirmed":
            return _("%(name)s confirmed that it is done.") % values
        case _:
            return _("%(name)s could not do it or did not agree; a case worker looks into it.") % values


_SENTENCES: dict[str, Callable[[_Words, Event], str]] = {
    "package_fetched": _fetched,
    "package_revoked": _revoked,
    "handed_over": lambda words, event: _("A copy for somebody else was made."),
    "submitted": _submitted,
    "to_review": lambda words, event: _("Checked; a case worker decides."),
    "accepted": lambda words, event: _("Checked; no decision is needed, it goes on by itself."),
    "approved": lambda words, event: _("Approved."),
    "decided": _decided,
    "refused": lambda words, event: _("Not agreed."),
    "proof_asked": lambda words, event: _("It waited for a proof; no clock ran and nothing was looked up."),
    "proved": lambda words, event: _("The proof was accepted; the clock began."),
    "fee_quoted": lambda words, event: (
        _("A fee of %(amount)s yuan was quoted. The clock stands still.") % {"amount": event.body["amount"]}
    ),
    "fee_accepted": lambda words, event: _("The fee was accepted. The clock goes on."),
    "fee_waived": lambda words, event: _("The fee was waived. The clock goes on."),
    "fee_declined": lambda words, event: _("The fee was declined; nothing is owed."),
    "fee_lapsed": lambda words, event: _("The fee was not answered in time; nothing is owed."),
    "asked": _asked,
    "answered": _answered,
    "deferred": _deferred,
    "unblocked": _unblocked,
    "started": _started,
    "plan_changed": lambda words, event: _("The data has changed since the approval, so a case worker looks again."),
    "extended": _extended,
    "breached": _breached,
    "taken_back": lambda words, event: _("Request taken back."),
    "disowned": lambda words, event: _("Stopped at your other contact, as not filed by you."),
    "undone": lambda words, event: _(
        "The approval was taken back before anything was done; a case worker looks again."
    ),
    "closed": _closed,
    "appealed": lambda words, event: _("Appealed against."),
    "appeal_upheld": lambda words, event: _("Reviewed by somebody else: the decision stands."),
    "appeal_overturned": lambda words, event: _(
        "Reviewed by somebody else: overturned. The request is taken up again."
    ),
    "appeal_breached": lambda words, event: (
        _("We did not decide the appeal by %(day)s. That is our failure.")
        % {"day": day_text(date.fromisoformat(str(event.body["due"])))}
    ),
    "told": _passed_on,
    "confirmed": _passed_on,
    "returned": _passed_on,
}
