"""A signed HTTP webhook, as Standard Webhooks has it: one POST, answered by 2xx once done or by 202 for later.

Signed are id, timestamp and raw body: `v1` is HMAC-SHA256 under `whsec_…`, `v1a` Ed25519 under our `whsk_…`. What the
partner sends back is signed the same way: with the shared secret, or its own key, `whpk_…` in SYSTEM_<NAME>_PUBLIC_KEY.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rights.connectors.base import Answer, Ask, Outcome, Refused, Unavailable
from rights.connectors.outbound import Reply, address_of, call, count_of, join_own, secret_of
from rights.datamap import Party

TOLERANCE = 300
"""Seconds that a callback's timestamp may be away from our clock: an older one is a replay."""
_OUTCOMES = {"pending": Outcome.PENDING, "done": Outcome.DONE, "refused": Outcome.NOT_DONE}


class WebhookPartner:
    def __init__(self, party: Party) -> None:
        self.party = party

    def ask(self, ask: Ask, *, now: datetime) -> Answer:
        body = json.dumps(
            {
                "type": f"privacy.{ask.act}",
                "timestamp": ask.asked_at.isoformat(),
                "data": {
                    "id": str(ask.id),
                    "reference": ask.reference,
                    "due": ask.due_on.isoformat(),
                    "identities": dict(ask.identities),
                    "values": [dict(value) for value in ask.values],
                    "callback_url": ask.callback_url,
                },
            },
            ensure_ascii=False,
        ).encode()
        reply = self._call("POST", self._address(), ask, body, now=now)
        if reply.status == 202:
            return Answer(Outcome.PENDING, status_url=self._status_url(reply))
        self._require_success(reply)
        return Answer(Outcome.DONE, count=count_of(reply.json().get("count")) if reply.body.strip() else None)

    def look(self, ask: Ask, *, now: datetime) -> Answer:
        if not ask.status_url:
            return Answer(Outcome.PENDING)  # it said that it calls back
        reply = self._call("GET", ask.status_url, ask, now=now)
        self._require_success(reply)
        return _answer(reply.json())

    def take_back(self, ask: Ask, *, now: datetime) -> Answer:
        return self.look(ask, now=now)  # there is no word for it: what was asked goes on

    def check(self) -> None:
        self._address()
        self._sign("check", 0, b"")

    def read_callback(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> tuple[UUID, Answer]:
        given = {name.lower(): value for name, value in headers.items()}
        try:
            sent = int(given.get("webhook-timestamp", ""))
        except ValueError:
            raise Refused("The callback has no timestamp.") from None
        if abs(now.timestamp() - sent) > TOLERANCE:
            raise Refused("The callback is too old or too new.")
        message = f"{given.get('webhook-id', '')}.{sent}.".encode() + body
        if not any(self._is_theirs(item, message) for item in given.get("webhook-signature", "").split()):
            raise Refused("The callback is not signed by the partner.")
        try:
            said = json.loads(body)
            return UUID(str(said["id"])), _answer(said)
        except (ValueError, KeyError, TypeError, Unavailable) as error:
            raise Refused("The callback is not one of this protocol.") from error

    def _address(self) -> str:
        return address_of(self.party.key)

    def _status_url(self, reply: Reply) -> str:
        stated = str(reply.json().get("status_url", "")) if reply.body.strip() else ""
        url = stated or reply.headers.get("location", "")
        return join_own(self._address(), url) if url else ""

    def _call(self, method: str, url: str, ask: Ask, body: bytes = b"", *, now: datetime) -> Reply:
        moment = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": str(ask.id),
            "webhook-id": str(ask.id),
            "webhook-timestamp": str(moment),
            "webhook-signature": self._sign(str(ask.id), moment, body),
        }
        return call(method, url, headers=headers, body=body)

    def _require_success(self, reply: Reply) -> None:
        if not 200 <= reply.status < 300:
            raise Refused(f"It answered {reply.status} to the request.")

    def _sign(self, number: str, moment: int, body: bytes) -> str:
        message = f"{number}.{moment}.".encode() + body
        kind, key = _key(secret_of(self.party.key))
        if kind == "whsk":
            return f"v1a,{base64.b64encode(Ed25519PrivateKey.from_private_bytes(key[:32]).sign(message)).decode()}"
        return f"v1,{base64.b64encode(hmac.digest(key, message, 'sha256')).decode()}"

    def _is_theirs(self, signature: str, message: bytes) -> bool:
        way, _, text = signature.partition(",")
        try:
            given = base64.b64decode(text, validate=True)
            kind, key = _key(secret_of(self.party.key))
            if way == "v1" and kind == "whsec":
                return hmac.compare_digest(given, hmac.digest(key, message, "sha256"))
            if way == "v1a" and kind == "whsk":
                _, public = _key(secret_of(self.party.key, "PUBLIC_KEY"))
                Ed25519PublicKey.from_public_bytes(public).verify(given, message)
                return True
        except (binascii.Error, ValueError, InvalidSignature, Unavailable):
            return False
        return False


def _key(text: str) -> tuple[str, bytes]:
    """A key of Standard Webhooks: its kind and its bytes. Raises Unavailable where it is none."""
    kind, _, encoded = text.partition("_")
    try:
        if kind in {"whsec", "whsk", "whpk"} and len(key := base64.b64decode(encoded, validate=True)) >= 24:
            return kind, key
    except binascii.Error:
        pass
    raise Unavailable("The key of the partner is not one: write whsec_, whsk_ or whpk_ and its bytes in base64.")


def _answer(said: Mapping[str, Any]) -> Answer:
    outcome = _OUTCOMES.get(str(said.get("status", "")))
    if outcome is None:
        raise Unavailable("The answer has no status: pending, done or refused.")
    return Answer(outcome, count=count_of(said.get("count")), reason=_reason(said))


def _reason(said: Mapping[str, Any]) -> str:
    """Without U+0000, which a database has no place for."""
    return str(said.get("reason", "")).replace("\0", "")[:300]
