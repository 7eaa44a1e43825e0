"""Receipts: what the portal states of a request, which anybody can check without trusting it.

A receipt is drawn up with the event that it tells, in its transaction: the event's own ledger entry commits to it. When
it is handed out it is signed (W3C Data Integrity, eddsa-jcs-2022) and, once a checkpoint covers its entry, carries the
proof of that. Terms are those of the W3C Data Privacy Vocabulary, the shape is that of ISO/IEC TS 27560. It names no
person: a reference, days, counts by collection, keys of reasons. `portal.core.verify_receipt` is its checker.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection
from django.db.models import Max, Min, Q, Sum

from portal.core import keyring, ledger, rows, verify_receipt
from portal.core.models import LedgerEntry, LedgerHead
from rights.kernel.decisions import REASONS
from rights.kernel.plan import Plan
from rights.models import Hold, Receipt, Request, StatusSecret, Step
from rights.queries import Law, backups_clear, due_if_any

FORMAT = "portal-receipt-1"
MEDIA_TYPE = "application/ld+json"
SUBMISSION, DECISION, FULFILMENT, HOLD, RELEASE = "submission", "decision", "fulfilment", "hold", "release"
TOLD_BY = {
    "submitted": (SUBMISSION,),
    "proof_asked": (SUBMISSION,),
    "decided": (DECISION,),
    "accepted": (DECISION,),
    "appeal_upheld": (DECISION,),
    "appeal_overturned": (DECISION,),
    "deferred": (FULFILMENT, HOLD),
    "closed": (FULFILMENT, HOLD),
    "step_done": (RELEASE,),
}
"""Event of a request → the receipts that tell it."""
STATUS = {
    "approve": "accepted",
    "refuse": "rejected",
    "extend": "delayed",
    "upheld": "rejected",
    "overturned": "accepted",
}
CONTEXT = [
    "https://w3id.org/security/data-integrity/v2",
    {
        "@vocab": "urn:privacy-rights-portal:receipt:",
        "dpv": "https://w3id.org/dpv#",
        "dct": "http://purl.org/dc/terms/",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
        "reference": "dct:identifier",
        "controller": {"@id": "dpv:hasDataController", "@type": "@id"},
        "right": {"@id": "dpv:hasRight", "@type": "@vocab"},
        "status": {"@id": "dpv:hasStatus", "@type": "@vocab"},
        "justification": "dpv:hasJustification",
        "time": {"@id": "dct:created", "@type": "xsd:dateTime"},
        "records": "dpv:hasProcess",
        "act": {"@id": "dpv:hasProcessing", "@type": "@vocab"},
        "acknowledged": "dpv:RequestAcknowledged",
        "requires_action": "dpv:RequestRequiresAction",
        "accepted": "dpv:RequestAccepted",
        "rejected": "dpv:RequestRejected",
        "delayed": "dpv:RequestActionDelayed",
        "fulfilled": "dpv:RequestFulfilled",
        "erase": "dpv:Erase",
        "mask": "dpv:Alter",
        "correct": "dpv:Alter",
        "export": "dpv:MakeAvailable",
        "hold": "dpv:Store",
        "restrict": "dpv:Restrict",
    },
]

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_GROUPS, _GROUP = 5, 5  # 125 bits, as somebody may have to copy them from paper

Fields = dict[str, Any]


# --- drawing up


@dataclass(frozen=True)
class Draft:
    """A receipt on its way into the ledger: `commitment` is what the entry says of it."""

    id: UUID
    event: str
    fields: Fields
    salt: str

    @property
    def commitment(self) -> tuple[str, str]:
        digests = verify_receipt.digest_fields(self.fields, salt=self.salt)
        return f"receipt.{self.event}", verify_receipt.digest_digests(digests)

    def as_row(self, request: Request, *, entry: LedgerEntry) -> Receipt:
        """What is kept of it, so that it can be handed out: what `entry` has committed to."""
        return Receipt(
            id=self.id,
            request=request,
            event=self.event,
            seq=entry.seq,
            fields=verify_receipt.canonical(self.fields).decode(),
            salt=self.salt,
            at=entry.at,
        )


def draw_up(request: Request, *, event: str, body: Mapping[str, Any], now: datetime, law: Law) -> list[Draft]:
    """The receipts that an event is told by, as the request stands inside the event's transaction; often none."""
    drafts = []
    for kind in TOLD_BY.get(event, ()):
        told = _tell(request, kind, event=event, body=body, now=now, law=law)
        if told is None:
            continue
        number = uuid4()
        fields = {
            "@context": CONTEXT,
            "@id": f"urn:uuid:{number}",
            "@type": "dpv:RightExerciseActivity",
            "schema_version": FORMAT,
            "controller": settings.PUBLIC_URL,
            "reference": request.reference or "",
            "right": request.kind,
            "event": kind,
            "time": now.astimezone(UTC).isoformat(timespec="seconds"),
            **told,
        }
        drafts.append(Draft(number, kind, fields, secrets.token_hex(16)))
    return drafts


def _tell(
    request: Request, kind: str, *, event: str, body: Mapping[str, Any], now: datetime, law: Law
) -> Fields | None:
    """What a receipt says beside what all say; None where there is nothing to tell."""
    match kind:
        case "submission":
            return _tell_submission(request, now=now, law=law)
        case "decision":
            return _tell_decision(request, event=event, body=body, now=now, law=law)
        case "fulfilment":
            return _tell_fulfilment(request, event=event, body=body, law=law)
        case "hold":
            records = _held(request)
            return {"status": "delayed", "records": records} if records else None
        case _:
            return _tell_release(body, law=law)


def _tell_submission(request: Request, *, now: datetime, law: Law) -> Fields:
    if request.started_on is None:
        return {"status": "requires_action", "justification": _reasons(request.review_reasons)}
    plan = Plan.from_json(request.plan) if request.plan else None
    records = [
        _record(
            line.system,
            line.collection,
            line.count,
            act=line.fate.value,
            **_days(line.first_release, line.last_release),
        )
        for line in (plan.lines if plan else ())
        if line.count
    ]
    return {"status": "acknowledged", **_due(request, now=now, law=law), "records": records}


def _tell_decision(request: Request, *, event: str, body: Mapping[str, Any], now: datetime, law: Law) -> Fields:
    if event == "accepted":
        return {"status": "accepted", "decided_by": "policy", **_due(request, now=now, law=law)}
    if event.startswith("appeal_"):
        written = request.appeals.order_by("-decided_at").values_list("text_salt", flat=True).first()
    else:
        written = request.decisions.order_by("-pk").values_list("text_salt", flat=True).first()
    return {
        "status": STATUS[body["outcome"]],
        "decided_by": "person",
        "justification": _reasons([body["key"]] if body["key"] else []),
        "decided": dict(body["lines"]),
        "text": {"salt": written},
        **_due(request, now=now, law=law),
    }


def _tell_fulfilment(request: Request, *, event: str, body: Mapping[str, Any], law: Law) -> Fields | None:
    steps = rows.find(Step, request=request.pk)
    done: dict[tuple[str, str, str], int] = {}
    for step in steps:
        if step.state == Step.State.DONE and step.verb not in {"hold", "restrict", "release"}:
            key = step.system, step.collection, step.verb
            done[key] = done.get(key, 0) + step.done
    records = [
        _record(system, collection, total, act=verb)
        for (system, collection, verb), total in sorted(done.items())
        if total
    ]
    if event == "deferred":
        return (
            {"status": "delayed", "justification": _reasons(body["blockers"]), "records": records} if records else None
        )
    clear = backups_clear(request, law.data_map, steps=steps)
    return {
        "status": "fulfilled",
        "justification": _reasons(body["keys"]),
        "records": records,
        **({"backups_clear": {system: day.isoformat() for system, day in clear.items()}} if clear else {}),
    }


def _held(request: Request) -> list[Fields]:
    groups = (
        Hold.objects.filter(request=request, released_at__isnull=True)
        .values("system", "collection", "rule", "key")
        .annotate(
            total=Sum("count"),
            first=Min("last_day"),
            last=Max("last_day"),
            open_ended=Sum("count", filter=Q(last_day__isnull=True), default=0),
        )
        .order_by("system", "collection", "rule", "key")
    )
    return [
        _record(
            group["system"], group["collection"], group["total"], act="hold", rule=group["rule"],
            reason=group["key"], **_days(group["first"], group["last"]),
            **({"without_date": group["open_ended"]} if group["open_ended"] else {}),
        )
        for group in groups
    ]  # fmt: skip


def _tell_release(body: Mapping[str, Any], *, law: Law) -> Fields | None:
    if body.get("verb") != "release" or not body.get("count"):
        return None
    item = law.data_map.collections.get(body["collection"])
    records = [_record(item.system if item else "", body["collection"], body["count"], act="erase")]
    return {"status": "fulfilled", "records": records}


def _record(system: str, collection: str, count: int, *, act: str, **more: Any) -> Fields:
    return {"system": system, "collection": collection, "count": int(count), "act": act, **more}


def _days(first: date | None, last: date | None) -> Fields:
    """The first and the last of the last days held."""
    return {"first_day": first.isoformat(), "last_day": last.isoformat()} if first and last else {}


def _due(request: Request, *, now: datetime, law: Law) -> Fields:
    due = due_if_any(request, now=now, calendar=law.calendar) if request.started_on else None
    return {"due": due.on.isoformat()} if due else {}


def _reasons(keys: Sequence[str]) -> list[Fields]:
    return [{"key": key, **({"basis": REASONS[key].basis} if key in REASONS else {})} for key in keys]


# --- handing out


def hand_out(receipt: Receipt, *, now: datetime, secret: str = "") -> Fields:
    """The receipt as a signed document, with the proof of its entry where a checkpoint covers it by now. `secret` goes
    into it under the signature. Raises LookupError where the ledger lost its entry."""
    entry = ledger.find_entry(receipt.request_id, receipt.seq)
    if entry is None:
        raise LookupError(f"The ledger has no entry {receipt.seq} of {receipt.request_id}.")
    fields: Fields = json.loads(receipt.fields)
    document = {
        **fields,
        "digests": verify_receipt.digest_fields(fields, salt=receipt.salt),
        "salt": receipt.salt,
        "entry": _show_entry(entry),
        **({"access": {"page": f"{settings.PUBLIC_URL}/status/", "secret": secret}} if secret else {}),
    }
    inclusion = ledger.prove(entry)
    return {**document, "proof": [_sign(document, now=now), *([_show_inclusion(inclusion)] if inclusion else [])]}


def _sign(document: Fields, *, now: datetime) -> Fields:
    options = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-jcs-2022",
        "created": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "verificationMethod": f"{controller_did()}#{keyring.signing_key_id()}",
        "proofPurpose": "assertionMethod",
        "@context": document["@context"],
    }
    signature = keyring.signing_key().sign(verify_receipt.signed_bytes(document, options))
    return {**options, "proofValue": verify_receipt.encode_multibase(signature)}


def _show_entry(entry: LedgerEntry) -> Fields:
    return {
        "chain": str(entry.chain),
        "seq": entry.seq,
        "at": ledger.micros(entry.at),
        "kind": entry.kind,
        "previous": bytes(entry.previous).hex(),
        "commitments": entry.commitments,
        "body": entry.body,
    }


def _show_inclusion(inclusion: ledger.Inclusion) -> Fields:
    return {
        "type": "MerkleInclusionProof",
        "index": inclusion.index,
        "path": [step.hex() for step in inclusion.path],
        "head": inclusion.head,
    }


# --- keys


def controller_did() -> str:
    """The portal's name as an issuer: did:web of its public address."""
    return "did:web:" + urlsplit(settings.PUBLIC_URL).netloc.replace(":", "%3A")


def publish_keys() -> Fields:
    """The DID document with every public key that a receipt or a head may have been signed with, old ones too."""
    did = controller_did()
    methods = [
        {
            "id": f"{did}#{name}",
            "type": "Multikey",
            "controller": did,
            "publicKeyMultibase": verify_receipt.encode_key(key.public_bytes_raw()),
        }
        for name, key in keyring.verify_keys().items()
    ]
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": did,
        "verificationMethod": methods,
        "assertionMethod": [method["id"] for method in methods],
    }


# --- checking


@dataclass(frozen=True)
class Checked:
    """A check on the spot, where the ledger is at hand: `inclusion` proves the entry, also for a receipt that was
    handed out before a checkpoint; `lost` says that the ledger does not have the entry as the receipt tells it."""

    report: verify_receipt.Report
    inclusion: Fields | None = None
    lost: bool = False

    @property
    def completed(self) -> Fields | None:
        """The receipt with its proof, where it came without one."""
        if self.inclusion is None or self.report.head is not None:
            return None
        document = dict(self.report.document)
        return {**document, "proof": [*document["proof"], self.inclusion]}


def check(text: bytes, *, letter: str | None = None) -> Checked:
    """Check a receipt against the published keys, the heads and the ledger itself."""
    report = verify_receipt.check(text, keyring.verify_keys(), heads=find_head, letter=letter)
    if not report.genuine:
        return Checked(report)
    told = report.document["entry"]
    try:
        entry = ledger.find_entry(UUID(told["chain"]), told["seq"])
    except (ValueError, OverflowError):
        entry = None
    if entry is None or bytes(entry.hash) != verify_receipt.hash_entry(told):
        return Checked(report, lost=True)
    inclusion = ledger.prove(entry)
    return Checked(report, inclusion=_show_inclusion(inclusion) if inclusion else None)


def find_head(number: int) -> Fields | None:
    """A signed head as it was exported."""
    head = LedgerHead.objects.filter(number=number).first() if 0 < number < 2**31 else None
    return ledger.export_head(head) if head else None


# --- what is held, for whoever has the secret


def make_secret(request: Request, *, now: datetime) -> str:
    """A new secret for the holds of a request, told this once; it ends the one before."""
    secret = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    StatusSecret.objects.update_or_create(
        request=request, defaults={"digest": _digest(secret), "made_at": now, "revoked_at": None}
    )
    return secret


def revoke_secret(request: Request, *, now: datetime) -> bool:
    """End the secret of a request; whether there was one."""
    return bool(StatusSecret.objects.filter(request=request, revoked_at__isnull=True).update(revoked_at=now))


@dataclass(frozen=True)
class HeldStatus:
    """What a request holds and has released. The holds are not of the database: they have what a page shows."""

    reference: str
    received_at: datetime
    holds: tuple[Hold, ...]


def find_held(secret: str) -> HeldStatus | None:
    """What the request of this secret holds, without an account; None for a secret that opens nothing."""
    digests = keyring.blind_indexes("status-secret", _normal(secret))
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM held_by_secret(%s::text[])", [digests])
        rows = cursor.fetchall()
    if not rows:
        return None
    names = ("entity", "system", "collection", "rule", "key", "last_day", "count", "released_at")
    holds = tuple(Hold(**dict(zip(names, row[2:], strict=True))) for row in rows if row[2] is not None)
    return HeldStatus(reference=rows[0][0], received_at=rows[0][1], holds=holds)


def _digest(secret: str) -> str:
    return keyring.blind_index("status-secret", _normal(secret))


def _normal(secret: str) -> str:
    """As it may be typed: capitals or not, with or without the hyphens."""
    return "".join(sign for sign in secret.upper() if sign.isalnum())[:100]
