"""Giving and taking back consents, refusing recipients, answering a new policy, and what a browser asks for everybody.

Taking back is a request like any other, which goes through by itself. Giving is an event that the person writes and a
worker carries to the system that has to know: whatever was said last is what is written in the end.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts.identities import get_identities
from accounts.models import User
from portal.core import ledger
from portal.core.wake import wake
from rights.actions.submit import CannotSubmit, start_draft, submit
from rights.connectors.base import ConnectorError, Seed, Unavailable
from rights.connectors.registry import add_links, connect
from rights.consents import (
    Register,
    changes_state,
    ends_with_signal,
    latest_version,
    list_recipients,
    read_register,
    recipient_key,
    withdrawals_under_way,
)
from rights.datamap import DataMap, load_live_map
from rights.kernel.clock import local_day
from rights.kernel.states import Kind, State
from rights.models import ConsentEvent, Request
from rights.models.consent import SIGNAL

log = structlog.get_logger(__name__)

SETTLE = "rights.tasks.settle_consents"
PAGE = 100
SAME_WORD = timedelta(minutes=1)
"""Said again within this it is the same tap, or the same page in two tabs."""
Source = ConsentEvent.Source


class UnknownUse(CannotSubmit):
    """The data map has no such purpose or recipient."""


class CannotGive(CannotSubmit):
    """It cannot be given now; `str()` says why and what to do."""


class AgainstSignal(CannotSubmit):
    """The person's browser asks for the opposite: they have to say that they mean it."""


class StaleAsk(CannotSubmit):
    """The question was answered already, or a newer version asks another."""


# --- what a person says


def withdraw(
    *, user: User, purposes: Collection[str] = (), recipients: Collection[str] = (), now: datetime
) -> Request | None:
    """End uses, and that recipients receive data. None where all of it has ended or is on its way: a second tap.

    Business systems are asked. Raises UnknownUse.
    """
    data_map = load_live_map()
    _require_known(purposes, recipients, data_map)
    register = read_register(user, data_map=data_map, now=now)
    silent = {
        key for key in purposes if data_map.collections[data_map.consents[key].collection].system in register.unknown
    }
    return _file_withdrawal(
        user,
        # A system that does not answer must not keep anybody from taking back.
        purposes=[key for key in purposes if register.uses[key].given or key in silent],
        recipients=[key for key in recipients if register.recipients[recipient_key(key)].given],
        source=Source.PORTAL,
        now=now,
    )


def give(*, user: User, purpose: str = "", recipient: str = "", is_meant: bool = False, now: datetime) -> bool:
    """Agree to a purpose, or that a recipient may receive data again; whether that changed anything.

    `is_meant`: the person was told what their browser asks for, and says yes all the same. Business systems are asked.
    Raises UnknownUse, CannotGive, AgainstSignal.
    """
    data_map = load_live_map()
    _require_known([purpose] if purpose else [], [recipient] if recipient else [], data_map)
    register = read_register(user, data_map=data_map, now=now)
    key = purpose or recipient_key(recipient)
    standing = register.uses[key] if purpose else register.recipients[key]
    if standing.given is None:
        raise CannotGive(_("Nobody has asked you for this yet. The service asks you before it begins."))
    if standing.given:
        return False
    if standing.pending:
        raise CannotGive(_("This is just being ended. Once that is done you can agree again."))
    _require_meant(key, register, data_map, is_meant=is_meant)
    _say(user, key, given=True, source=Source.PORTAL, version=latest_version(register.policies), now=now)
    return True


def answer(*, user: User, purpose: str, version: str, agrees: bool, is_meant: bool = False, now: datetime) -> None:
    """Answer what a version of the policy asks. No is as good as yes, and leaves what was agreed to before.

    Raises StaleAsk, AgainstSignal.
    """
    data_map = load_live_map()
    register = read_register(user, data_map=data_map, now=now)
    ask = next((ask for ask in register.asks if (ask.purpose, ask.policy.version) == (purpose, version)), None)
    if ask is None:
        raise StaleAsk(_("This question was answered already, or a newer version of the policy has replaced it."))
    if agrees:
        _require_meant(purpose, register, data_map, is_meant=is_meant)
    _say(user, purpose, given=agrees, source=Source.POLICY, version=version, now=now)


def note_signal(user: User, *, now: datetime) -> None:
    """Write down that the person's browser asks not to share and not to profile: once, however often it asks."""
    signal = ConsentEvent(user=user, purpose=SIGNAL, given=False, at=now, source=Source.BROWSER)
    ConsentEvent.objects.bulk_create([signal], ignore_conflicts=True)
    wake(SETTLE, user_id=str(user.pk))


def _say(user: User, purpose: str, *, given: bool, source: str, version: str, now: datetime) -> None:
    """Write an event with its entry in the ledger, unless the same was said a moment ago from another tab."""
    with transaction.atomic():
        _lock(user)
        last = ConsentEvent.objects.filter(user=user, purpose=purpose).order_by("-id").first()
        is_fresh = last is not None and (last.settled_at is None or now - last.at < SAME_WORD)
        if last and is_fresh and (last.given, last.source, last.version) == (given, source, version):
            return
        if given and purpose in withdrawals_under_way(user):
            raise CannotGive(_("This is just being ended. Once that is done you can agree again."))
        chain = uuid4()
        is_told = not given or purpose not in load_live_map().consents
        ConsentEvent.objects.create(
            user=user,
            purpose=purpose,
            given=given,
            at=now,
            source=source,
            version=version,
            chain=chain,
            settled_at=now if is_told else None,
        )
        body: dict[str, ledger.Json] = {"purpose": purpose, "given": given, "source": source, "version": version}
        ledger.append(chain=chain, kind="consent_said", body=body, now=now)
        if not is_told:
            wake(SETTLE, user_id=str(user.pk))


def _require_known(purposes: Iterable[str], recipients: Iterable[str], data_map: DataMap) -> None:
    refusable = {received.party.key for received in list_recipients(data_map) if received.refusable}
    if set(purposes) - set(data_map.consents) or set(recipients) - refusable:
        raise UnknownUse(_("There is no such use of your data."))


def _require_meant(key: str, register: Register, data_map: DataMap, *, is_meant: bool) -> None:
    purposes, parties = ends_with_signal(data_map)
    if register.signal and not is_meant and key in {*purposes, *(recipient_key(party.key) for party in parties)}:
        raise AgainstSignal(_("Your browser asks us not to do this. Say so if you want it all the same."))


def _file_withdrawal(
    user: User, *, purposes: Iterable[str], recipients: Iterable[str], source: str, now: datetime
) -> Request | None:
    with transaction.atomic():
        # Of two taps the second finds the draft or the request of the first.
        _lock(user)
        going = withdrawals_under_way(user)
        details = {
            "purposes": [key for key in purposes if key not in going],
            "recipients": [key for key in recipients if recipient_key(key) not in going],
            "source": source,
        }
        if not details["purposes"] and not details["recipients"]:
            return None
        drafts = Request.objects.filter(kind=Kind.WITHDRAWAL, state=State.DRAFT, subject=user, filed_by=user)
        draft = next((item for item in drafts.order_by("-created_at")[:PAGE] if item.details == details), None)
        if draft is None:
            draft = start_draft(subject=user, filed_by=user, kind=Kind.WITHDRAWAL, details=details, now=now)
    return submit(request_id=draft.pk, now=now)


def _lock(user: User) -> None:
    """One at a time for each person, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"consent {user.pk}"])


# --- what a worker does with it


def settle(*, now: datetime, user: UUID | None = None) -> int:
    """Carry out browsers' signals and tell systems of what was given; how many it was. One of which a system does not
    answer waits for the next time, and keeps none of the others."""
    waiting = ConsentEvent.objects.filter(settled_at__isnull=True).select_related("user").order_by("at", "id")
    if user:
        waiting = waiting.filter(user=user)
    data_map = load_live_map()
    silent: set[str] = set()
    done = 0
    for event in waiting[:PAGE]:
        try:
            if event.purpose == SIGNAL:
                done += _honour(event, data_map=data_map, now=now)
            else:
                done += _tell(event, data_map=data_map, silent=silent, now=now)
        except Exception as error:  # noqa: BLE001 - one person's fault is not the others' delay
            log.error("consent_not_settled", event=event.pk, error=type(error).__name__)
    return done


def _honour(event: ConsentEvent, *, data_map: DataMap, now: datetime) -> bool:
    """End what the signal ends of what stands now. Done again after a crash it finds that ended or on its way."""
    register = read_register(event.user, data_map=data_map, now=now)
    purposes, parties = ends_with_signal(data_map)
    if {data_map.collections[data_map.consents[key].collection].system for key in purposes} & set(register.unknown):
        return False
    shared = {key for key, consent in data_map.consents.items() if consent.signal and register.uses[key].given}
    receiving = {
        received.party.key
        for received in list_recipients(data_map)
        if any(item.consent in shared for item in received.refusable)
    }
    _file_withdrawal(
        event.user,
        purposes=[key for key in purposes if register.uses[key].given],
        recipients=[
            party.key
            for party in parties
            if party.key in receiving and register.recipients[recipient_key(party.key)].given
        ],
        source=Source.BROWSER,
        now=now,
    )
    return _mark(event, now=now)


def _tell(event: ConsentEvent, *, data_map: DataMap, silent: set[str], now: datetime) -> bool:
    """Write to the system what the person said last, and look again afterwards whether that is still so.

    A withdrawal that was filed before the look writes after this or is seen by it; one filed later writes later.
    """
    consent = data_map.consents.get(event.purpose)
    if consent is None:
        return _mark(event, now=now)
    system = data_map.collections[consent.collection].system
    if system in silent:
        return False
    seed = add_links(
        Seed(identities=get_identities(event.user), today=local_day(now)), system=system, data_map=data_map
    )
    try:
        connector = connect(system, data_map)
        while True:
            given = _is_given(event)
            values = consent.give if given else consent.withdraw
            connector.set_fields(seed, consent.collection, match=consent.match, values=values, now=now)
            if _is_given(event) == given:
                return _mark(event, now=now)
    except Unavailable:
        silent.add(system)
        return False
    except ConnectorError as error:
        log.error("consent_refused", event=event.pk, system=system, error=str(error))
        return False


def _is_given(event: ConsentEvent) -> bool:
    # Before the events: a withdrawal that comes to its end in between is then among them.
    if event.purpose in withdrawals_under_way(event.user):
        return False
    said = ConsentEvent.objects.filter(user=event.user, purpose=event.purpose).order_by("-id")
    return next((item for item in said if changes_state(item)), event).given


def _mark(event: ConsentEvent, *, now: datetime) -> bool:
    return bool(ConsentEvent.objects.filter(pk=event.pk, settled_at__isnull=True).update(settled_at=now))
