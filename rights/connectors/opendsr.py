"""OpenDSR, the controller's side: a processor is asked to erase, and everything it answers has to be signed.

The protocol knows no failure, and a processor that never finishes says `in_progress` for ever: the date and the alarm
are ours (`actions.handovers`).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from rights.connectors.base import Answer, Ask, Outcome, Refused, Unavailable
from rights.connectors.outbound import Reply, address_of, call, count_of, secret_of
from rights.datamap import Party

_NAMES = {
    "1.0": {"requests": "/opengdpr_requests", "header": "x-opengdpr", "regulation": "gdpr"},
    "2.0": {"requests": "/requests", "header": "x-opendsr", "regulation": "pipl"},
}
_OUTCOMES = {
    "pending": Outcome.PENDING,
    "in_progress": Outcome.PENDING,
    "completed": Outcome.DONE,
    "cancelled": Outcome.NOT_DONE,
}


class OpenDsrPartner:
    """A processor. Its certificate is the file SYSTEM_<NAME>_CERTIFICATE (PEM; its issuer may follow in it), what we
    show it SYSTEM_<NAME>_SECRET: a token, or user:password."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.version = party.options.get("version", "2.0")
        self.names = _NAMES[self.version]
        self.domain = party.options["domain"]

    # --- what we ask

    def ask(self, ask: Ask, *, now: datetime) -> Answer:
        # The processor keeps a request by our id; what may have been sent is looked for before it is sent again.
        if ask.again and (found := self._find(ask, now=now)):
            return found
        body = json.dumps(self._request(ask)).encode()
        reply = self._call("POST", self.names["requests"], body)
        if reply.status != 201:
            raise Refused(f"It answered {reply.status} to the request.")
        answer = self._verified(reply, now=now)
        self._require_ours(answer, ask)
        if encoded := answer.get("encoded_request"):
            self._require_same(str(encoded), body)
        return Answer(Outcome.PENDING)

    def look(self, ask: Ask, *, now: datetime) -> Answer:
        found = self._find(ask, now=now)
        if found is None:
            raise Unavailable("It does not know the request any more.")
        return found

    def take_back(self, ask: Ask, *, now: datetime) -> Answer:
        reply = self._call("DELETE", f"{self.names['requests']}/{ask.id}")
        if reply.status in {200, 202, 204}:
            return Answer(Outcome.NOT_DONE, reason="It was taken back.")
        return self.look(ask, now=now)  # it is no longer pending, so it goes on

    def check(self) -> None:
        reply = self._call("GET", "/discovery")
        if reply.status != 200:
            raise Refused(f"It answered {reply.status} to the discovery.")
        kinds = reply.json().get("supported_subject_request_types", [])
        if "erasure" not in kinds:
            raise Refused("It says that it knows no erasure.")
        self._certificate()

    def _find(self, ask: Ask, *, now: datetime) -> Answer | None:
        reply = self._call("GET", f"{self.names['requests']}/{ask.id}")
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise Refused(f"It answered {reply.status} to the question how far it is.")
        answer = self._verified(reply, now=now)
        self._require_ours(answer, ask)
        return _outcome(answer)

    def _request(self, ask: Ask) -> dict[str, Any]:
        return {
            "regulation": self.party.options.get("regulation", self.names["regulation"]),
            "subject_request_id": str(ask.id),
            "subject_request_type": "erasure",
            "submitted_time": ask.asked_at.isoformat(),
            "subject_identities": [
                {"identity_type": kind, "identity_value": value, "identity_format": "raw"}
                for kind, value in ask.identities.items()
            ],
            "status_callback_urls": [ask.callback_url],
            "api_version": self.version,
        }

    def _call(self, method: str, path: str, body: bytes = b"") -> Reply:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        match self.party.options.get("authentication", "bearer"):
            case "bearer":
                headers["Authorization"] = f"Bearer {secret_of(self.party.key)}"
            case "basic":
                headers["Authorization"] = f"Basic {base64.b64encode(secret_of(self.party.key).encode()).decode()}"
        prefix = self.party.options.get("path", "").rstrip("/")
        return call(method, f"{address_of(self.party.key)}{prefix}{path}", headers=headers, body=body)

    # --- what they say

    def read_callback(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> tuple[UUID, Answer]:
        """Domain, certificate and signature before anything is parsed; then, whether it was sent to us."""
        try:
            self._require_signed({name.lower(): value for name, value in headers.items()}, body, now=now)
        except Unavailable as error:
            raise Refused(str(error)) from error
        try:
            said = json.loads(body)
            number = UUID(str(said["subject_request_id"]))
            url = str(said["status_callback_url"])
            outcome = _outcome(said)
        except (ValueError, KeyError, TypeError, Unavailable) as error:
            raise Refused("The callback is not one of this protocol.") from error
        if not url.endswith(f"/{self.party.key}/"):
            raise Refused("The callback was meant for another address.")
        return number, outcome

    def _verified(self, reply: Reply, *, now: datetime) -> dict[str, Any]:
        self._require_signed(reply.headers, reply.body, now=now)
        return reply.json()

    def _require_signed(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> None:
        """Raises Unavailable: what is not provably theirs says nothing, and the truth may come later."""
        if headers.get(f"{self.names['header']}-processor-domain", "").lower() != self.domain.lower():
            raise Unavailable("The answer does not come from the domain that was agreed.")
        certificate = self._certificate()
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise Unavailable("The certificate of the partner is not valid today.")
        try:
            signature = base64.b64decode(headers.get(f"{self.names['header']}-signature", ""), validate=True)
            _verify(certificate, signature, body, way=self.party.options.get("signature", "rsa-pkcs1"))
        except (InvalidSignature, binascii.Error, TypeError) as error:
            raise Unavailable("The signature of the answer is not the partner's.") from error

    def _certificate(self) -> x509.Certificate:
        path = Path(secret_of(self.party.key, "CERTIFICATE"))
        try:
            leaf, *issuers = x509.load_pem_x509_certificates(path.read_bytes())
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            if issuers:
                leaf.verify_directly_issued_by(issuers[0])
        except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
            raise Unavailable(f"The certificate of the partner cannot be used ({type(error).__name__}).") from error
        if self.domain.lower() not in {name.lower() for name in names.get_values_for_type(x509.DNSName)}:
            raise Unavailable("The certificate of the partner is for another domain.")
        return leaf

    def _require_ours(self, answer: Mapping[str, Any], ask: Ask) -> None:
        if str(answer.get("subject_request_id", "")) != str(ask.id):
            raise Unavailable("The answer is about another request.")

    def _require_same(self, encoded: str, body: bytes) -> None:
        try:
            taken = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            taken = b""
        if taken != body:
            raise Unavailable("The answer confirms another request than was sent.")


def _outcome(said: Mapping[str, Any]) -> Answer:
    outcome = _OUTCOMES.get(str(said.get("request_status", "")))
    if outcome is None:
        raise Unavailable("The answer has no status of this protocol.")
    reason = "It was cancelled." if outcome is Outcome.NOT_DONE else ""
    return Answer(outcome, count=count_of(said.get("results_count")), reason=reason)


def _verify(certificate: x509.Certificate, signature: bytes, body: bytes, *, way: str) -> None:
    """Raises InvalidSignature; TypeError where the key is of another kind than was agreed."""
    key = certificate.public_key()
    if way == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, body, ec.ECDSA(hashes.SHA256()))
    elif way == "rsa-pss" and isinstance(key, rsa.RSAPublicKey):
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.AUTO)
        key.verify(signature, body, pss, hashes.SHA256())
    elif way == "rsa-pkcs1" and isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, body, padding.PKCS1v15(), hashes.SHA256())
    else:
        raise TypeError
