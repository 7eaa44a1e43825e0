"""Partners that can be asked: real HTTP servers that speak OpenDSR or take webhooks, and misbehave on demand.

They are written from the standards and share nothing with the product. `mood` says how a partner behaves:
well, slow, down (it hangs up), broken (500), forged (another key signs), silent (it never finishes), lost (it takes a
request and answers 500, so that nobody knows), refusing (400), elsewhere (its status is at another address).
"""

import base64
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

DOMAIN = "dsr.partner.example"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def make_key(way: str) -> Key:
    if way == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def make_certificate(key: Key, path: Path, *, domain: str = DOMAIN, days: int = 3650, begun: int = 3650) -> Path:
    """Self-signed, valid from `begun` days ago for `days` more."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=begun))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def sign(key: Key, body: bytes, way: str) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(body, ec.ECDSA(hashes.SHA256()))
    elif way == "rsa-pss":
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        signature = key.sign(body, pss, hashes.SHA256())
    else:
        signature = key.sign(body, padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signature).decode()


@dataclass
class Partner:
    """What every partner is: its address, its mood, what it was told, and the requests it has taken."""

    mood: str = "well"
    url: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    """Each erasure that was begun, by its request: a second one of the same would be an effect twice."""
    count: int | None = 3
    callback_url: str = ""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError

    def finish(self, number: str, status: str) -> None:
        self.requests[number]["status"] = status


@dataclass
class Processor(Partner):
    """An OpenDSR processor. `prefix` stands before its addresses; `version` gives the names of its protocol."""

    way: str = "rsa-pkcs1"
    version: str = "2.0"
    prefix: str = "/dsr"
    token: str = "token-1"
    domain: str = DOMAIN
    key: Key = field(default_factory=lambda: make_key("rsa-pkcs1"))
    other_key: Key = field(default_factory=lambda: make_key("rsa-pkcs1"))

    @property
    def header(self) -> str:
        return "X-OpenGDPR" if self.version == "1.0" else "X-OpenDSR"

    def signed(self, body: bytes) -> dict[str, str]:
        key = self.other_key if self.mood == "forged" else self.key
        return {
            f"{self.header}-Processor-Domain": self.domain,
            f"{self.header}-Signature": sign(key, body, self.way),
            "Content-Type": "application/json",
        }

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, {}, b"{}"
        place = f"{self.prefix}{'/opengdpr_requests' if self.version == '1.0' else '/requests'}"
        if path == f"{self.prefix}/discovery":
            said = {"api_version": self.version, "supported_subject_request_types": ["erasure", "access"]}
            return self._say(200, said)
        if method == "POST" and path == place:
            return self._take(body)
        number = path.removeprefix(f"{place}/")
        if number not in self.requests:
            return self._say(404, {})
        if method == "DELETE":
            if self.requests[number]["status"] != "pending":
                return self._say(400, {})
            self.requests[number]["status"] = "cancelled"
            return self._say(202, {"subject_request_id": number})
        return self._say(200, self.status_of(number))

    def _take(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        said = json.loads(body)
        number = said["subject_request_id"]
        if number in self.requests:
            return self._say(400, {"error": "this request is known"})
        self.requests[number] = {**said, "status": "pending"}
        self.effects.append(number)
        if self.mood == "lost":
            self.mood = "well"
            return 500, {}, b""
        answer = {
            "controller_id": "portal",
            "expected_completion_time": "2026-12-01T00:00:00Z",
            "received_time": said["submitted_time"],
            "encoded_request": base64.b64encode(body).decode(),
            "subject_request_id": number,
        }
        return self._say(201, answer)

    def status_of(self, number: str) -> dict[str, Any]:
        status = "in_progress" if self.mood == "silent" else self.requests[number]["status"]
        found = {
            "controller_id": "portal",
            "subject_request_id": number,
            "request_status": status,
            "expected_completion_time": "2026-12-01T00:00:00Z",
        }
        return {**found, "results_count": self.count} if status == "completed" and self.count is not None else found

    def _say(self, status: int, said: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        body = json.dumps(said).encode()
        return status, self.signed(body), body

    def callback(self, number: str, *, url: str, **changes: Any) -> tuple[dict[str, str], bytes]:
        """Headers and body of a callback, as it would be sent."""
        body = json.dumps({**self.status_of(number), "status_callback_url": url, **changes}).encode()
        return self.signed(body), body


@dataclass
class Hook(Partner):
    """Takes webhooks. `later`: it answers 202, with an address for questions unless it only calls back."""

    secret: bytes = b"0123456789abcdef0123456789abcdef"
    ours: Ed25519PrivateKey | None = None
    """The portal's key, where it signs with Ed25519."""
    own: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    later: str = ""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if not self._is_signed(headers, body):
            return 401, {}, b"{}"
        number = headers["idempotency-key"]
        if method == "GET":
            return 200, {}, json.dumps(self._said(number)).encode()
        if number not in self.requests:
            self.requests[number] = {**json.loads(body), "status": "pending" if self.later else "done"}
            self.effects.append(number)
        if self.mood == "lost":
            self.mood = "well"
            return 500, {}, b""
        if not self.later:
            return 200, {}, json.dumps({"count": self.count}).encode() if self.count is not None else b""
        where = f"{'http://127.0.0.2:1' if self.mood == 'elsewhere' else self.url}/status/{number}"
        return 202, {}, json.dumps({"status_url": where}).encode() if self.later == "asked" else b""

    def _said(self, number: str) -> dict[str, Any]:
        status = "pending" if self.mood == "silent" else self.requests[number]["status"]
        return {"id": number, "status": status, "count": self.count, "reason": self.requests[number].get("reason", "")}

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        way, _, text = headers["webhook-signature"].partition(",")
        given = base64.b64decode(text)
        if self.ours:
            with suppress(Exception):
                self.ours.public_key().verify(given, message)
                return way == "v1a"
            return False
        return way == "v1" and hmac.compare_digest(given, hmac.digest(self.secret, message, "sha256"))

    def callback(self, number: str, *, at: datetime, **changes: Any) -> tuple[dict[str, str], bytes]:
        body = json.dumps({**self._said(number), **changes}).encode()
        moment = int(at.timestamp())
        message = f"msg-1.{moment}.".encode() + body
        if self.ours:
            key = Ed25519PrivateKey.generate() if self.mood == "forged" else self.own
            signature = f"v1a,{base64.b64encode(key.sign(message)).decode()}"
        else:
            secret = b"another secret of 32 bytes......" if self.mood == "forged" else self.secret
            signature = f"v1,{base64.b64encode(hmac.digest(secret, message, 'sha256')).decode()}"
        headers = {"webhook-id": "msg-1", "webhook-timestamp": str(moment), "webhook-signature": signature}
        return headers, body


@contextmanager
def serve(partner: Partner, *, slow: float = 0.4) -> Iterator[Partner]:
    """The partner at an address of this machine, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            partner.calls.append((self.command, self.path))
            if partner.mood == "down":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if partner.mood == "slow":
                time.sleep(slow)
            if partner.mood == "broken":
                self._send(500, {}, b"")
                return
            if partner.mood == "refusing":
                self._send(400, {}, b"{}")
                return
            given = {name.lower(): value for name, value in self.headers.items()}
            self._send(*partner.answer(self.command, self.path, given, body))

        do_GET = do_POST = do_DELETE = _do  # noqa: N815 - names of the library

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Tests say what they want to know."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    partner.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield partner
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def send(url: str, headers: dict[str, str], body: bytes) -> httpx.Response:
    return httpx.post(url, headers=headers, content=body, timeout=10)


SetEnvironment = Callable[[str, str], None]


def connect_processor(processor: Processor, name: str, *, set_environment: SetEnvironment, folder: Path) -> None:
    """The processor as the portal knows a party: its address, our token and its certificate."""
    certificate = make_certificate(processor.key, folder / f"{name}.pem", domain=processor.domain)
    set_environment(f"SYSTEM_{name.upper()}_URL", processor.url)
    set_environment(f"SYSTEM_{name.upper()}_SECRET", processor.token)
    set_environment(f"SYSTEM_{name.upper()}_CERTIFICATE", str(certificate))


def connect_hook(hook: Hook, name: str, *, set_environment: SetEnvironment) -> None:
    set_environment(f"SYSTEM_{name.upper()}_URL", f"{hook.url}/hook")
    if hook.ours:
        seed = hook.ours.private_bytes_raw()
        set_environment(f"SYSTEM_{name.upper()}_SECRET", f"whsk_{base64.b64encode(seed).decode()}")
        public = hook.own.public_key().public_bytes_raw()
        set_environment(f"SYSTEM_{name.upper()}_PUBLIC_KEY", f"whpk_{base64.b64encode(public).decode()}")
    else:
        set_environment(f"SYSTEM_{name.upper()}_SECRET", f"whsec_{base64.b64encode(hook.secret).decode()}")
