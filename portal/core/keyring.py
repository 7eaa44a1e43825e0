"""The versioned keys: sealing at rest, blind indexes, per-subject data keys, the ledger's signature, and masks.

Each purpose has its own keys and its own current version. New values are made under the current one; old values are
read, and looked up, under every version that is still live, so that a rotation needs no pause. A key is retired only
once nothing uses it.

In production the keyring comes from the environment (`KEYRING`, the JSON itself, or `KEYRING_FILE`, its path) and a
missing one stops the process: a key that is made up on the spot is data lost at the next start. In demo mode it is made
on first use.
"""

import base64
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

PURPOSES = ("seal", "index", "sign", "mask")
_KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = 1
_HEADER = struct.Struct(">BH")  # format, key version


DIGEST_BYTES = 16
"""Length of each of `digests`."""


class SealBroken(ValueError):
    """A sealed value that was altered, belongs to another context, or whose key is gone."""


@dataclass(frozen=True)
class Purpose:
    """`retired` are the public halves of signing keys that are gone: what they signed must go on being checkable."""

    current: int
    keys: Mapping[int, bytes]
    retired: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        return self.keys[self.current]


@dataclass(frozen=True)
class Keyring:
    purposes: Mapping[str, Purpose]

    def __repr__(self) -> str:  # a traceback or a log line must not show a key
        return f"Keyring({', '.join(f'{name} v{purpose.current}' for name, purpose in self.purposes.items())})"


# --- sealing


def seal(data: bytes, *, context: str) -> bytes:
    """Encrypt `data`; it opens only with the same `context`, so a value moved to another column does not open there."""
    purpose = _ring().purposes["seal"]
    header = _HEADER.pack(_FORMAT, purpose.current)
    return header + _encrypt(purpose.key, data, header + context.encode())


def unseal(token: bytes, *, context: str) -> bytes:
    """Decrypt what `seal` made, under whichever live key it was made."""
    token = bytes(token)
    version = sealed_version(token)
    header = token[: _HEADER.size]
    try:
        key = _ring().purposes["seal"].keys[version]
    except KeyError:
        raise SealBroken(f"The key v{version} that sealed this value is no longer in the keyring.") from None
    return _decrypt(key, token[_HEADER.size :], header + context.encode())


def sealed_version(token: bytes) -> int:
    """The version of the key that sealed `token`."""
    if len(token) < _HEADER.size + _NONCE_BYTES:
        raise SealBroken("A sealed value is cut short.")
    form, version = _HEADER.unpack_from(token)
    if form != _FORMAT:
        raise SealBroken(f"A sealed value has the unknown format {form}.")
    return int(version)


def current_seal_header() -> bytes:
    """What every value sealed under the current key starts with: by it the others are found."""
    return _HEADER.pack(_FORMAT, current_version("seal"))


def new_data_key() -> bytes:
    """A fresh data key, wrapped. Whoever deletes the wrapped key has erased everything sealed under it."""
    return seal(secrets.token_bytes(_KEY_BYTES), context="data-key")


def rewrap_data_key(wrapped: bytes) -> bytes:
    """The same data key wrapped under the current key; what it seals stays as it is."""
    return seal(unseal(wrapped, context="data-key"), context="data-key")


def seal_under(wrapped: bytes, data: bytes, *, context: str) -> bytes:
    """Encrypt `data` under a wrapped data key."""
    return _encrypt(unseal(wrapped, context="data-key"), data, context.encode())


def unseal_under(wrapped: bytes, token: bytes, *, context: str) -> bytes:
    """Decrypt what `seal_under` made."""
    return _decrypt(unseal(wrapped, context="data-key"), bytes(token), context.encode())


# --- blind indexes


def blind_index(kind: str, value: str) -> str:
    """A keyed digest by which `value` is found without being readable: "v1:hex". `kind` keeps a phone from matching an
    account."""
    purpose = _ring().purposes["index"]
    return _index(purpose.current, purpose.key, kind, value)


def blind_indexes(kind: str, value: str) -> list[str]:
    """The digest of `value` under every live key, for look-ups: rows keep the version they were written with."""
    purpose = _ring().purposes["index"]
    return [_index(version, purpose.keys[version], kind, value) for version in sorted(purpose.keys, reverse=True)]


def digests(kind: str, values: Iterable[bytes], *, version: int) -> list[bytes]:
    """Keyed digests of 16 bytes, fast enough for a million. Raises KeyError for a version that was retired."""
    key = hmac.digest(_ring().purposes["index"].keys[version], f"digests of {kind}".encode(), "sha256")
    start = hashlib.blake2b(key=key, digest_size=DIGEST_BYTES)
    found = []
    for value in values:
        hashing = start.copy()
        hashing.update(value)
        found.append(hashing.digest())
    return found


def mask_key(name: str) -> bytes:
    """The key of 32 bytes under which business systems' values are masked as `name`.

    Equal values are masked alike until "mask" is rotated. Once its old key is retired nobody, we included, can tell
    whose value was masked under it.
    """
    return hmac.digest(_ring().purposes["mask"].key, f"masks as {name}".encode(), "sha256")


def live_versions(purpose: str) -> list[int]:
    """The versions that values of `purpose` may have been made under, the newest first."""
    return sorted(_ring().purposes[purpose].keys, reverse=True)


def current_version(purpose: str) -> int:
    """The version that new values of `purpose` are made under."""
    return _ring().purposes[purpose].current


# --- the signing key


def signing_key() -> Ed25519PrivateKey:
    """The key that signs the ledger's heads now."""
    return Ed25519PrivateKey.from_private_bytes(_ring().purposes["sign"].key)


def signing_key_id() -> str:
    """The name of the current signing key, as it stands in a signed head."""
    return key_id(signing_key().public_key())


def verify_keys() -> dict[str, Ed25519PublicKey]:
    """Every public key that a head or a receipt may have been signed with, by name: retired ones too."""
    purpose = _ring().purposes["sign"]
    live = {number: Ed25519PrivateKey.from_private_bytes(raw).public_key() for number, raw in purpose.keys.items()}
    gone = {number: Ed25519PublicKey.from_public_bytes(raw) for number, raw in purpose.retired.items()}
    return {key_id(key): key for _, key in sorted((gone | live).items())}


def key_id(key: Ed25519PublicKey) -> str:
    """A short name of a public key: the start of its SHA-256."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


# --- rotation


def rotate(purpose: str) -> int:
    """Add a key to the keyring file and make it current. Returns its version. Other processes follow at their next
    use."""
    with _file_lock():
        document = _read_document(_path())
        section = document[purpose]
        version = max(map(int, section["keys"])) + 1
        section["keys"][str(version)] = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        section["current"] = version
        _write_document(_path(), document)
    return version


def retire(purpose: str, version: int) -> None:
    """Remove an old key. Whatever still needs it is lost: reseal and reindex first. Of a signing key the public half
    stays."""
    with _file_lock():
        document = _read_document(_path())
        section = document[purpose]
        if section["current"] == version:
            raise ValueError(f"The current key v{version} of {purpose!r} cannot be retired.")
        removed = base64.b64decode(section["keys"].pop(str(version)))
        if purpose == "sign":
            public = Ed25519PrivateKey.from_private_bytes(removed).public_key().public_bytes_raw()
            section.setdefault("retired", {})[str(version)] = base64.b64encode(public).decode()
        _write_document(_path(), document)


def generate() -> str:
    """A new keyring as JSON, for `KEYRING` or `KEYRING_FILE`."""
    return json.dumps(
        {
            purpose: {"current": 1, "keys": {"1": base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}}
            for purpose in PURPOSES
        }
    )


# --- inside

_cache: dict[str, tuple[object, Keyring]] = {}


def _encrypt(key: bytes, data: bytes, associated: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, associated)


def _decrypt(key: bytes, token: bytes, associated: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(token[:_NONCE_BYTES], token[_NONCE_BYTES:], associated)
    except (InvalidTag, ValueError):
        raise SealBroken("A sealed value does not open: it was altered or belongs elsewhere.") from None


def _index(version: int, key: bytes, kind: str, value: str) -> str:
    message = f"{kind}\x00{value}".encode()
    return f"v{version}:{hmac.digest(key, message, 'sha256').hex()}"


def _path() -> Path:
    if path := os.environ.get("KEYRING_FILE"):
        return Path(path)
    if os.environ.get("KEYRING"):
        raise ImproperlyConfigured("This keyring comes from KEYRING; keys in the environment are rotated there.")
    return Path(settings.DATA_DIR) / "keyring.json"


def _may_be_made() -> bool:
    """A keyring is made on first use only where losing it loses nothing real: the demo, and the embedded database
    beside it."""
    return "KEYRING_FILE" not in os.environ and (bool(settings.DEMO) or os.environ.get("PORTAL_EMBEDDED") == "1")


def _ring() -> Keyring:
    """The keyring, read again when its file has changed, so that a rotation in one process reaches all."""
    if text := os.environ.get("KEYRING"):
        return _cached("KEYRING", text, lambda: text)
    path = _path()
    try:
        status = path.stat()
    except FileNotFoundError:
        if not _may_be_made():
            raise ImproperlyConfigured(f"No keyring: set KEYRING or KEYRING_FILE (looked at {path}).") from None
        _make(path)
        status = path.stat()
    stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
    return _cached(str(path), stamp, lambda: json.dumps(_complete(path)))


def _cached(source: str, stamp: object, read: Callable[[], str]) -> Keyring:
    """The keyring of `source`, parsed once for each of its states."""
    known = _cache.get(source)
    if known is None or known[0] != stamp:
        known = (stamp, _parse(json.loads(read()), source))
        _cache.clear()
        _cache[source] = known
    return known[1]


def _make(path: Path) -> None:
    """Create the file unless another process was quicker: a link fails where a rename would replace the other's
    keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_temporary(path, generate())
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _complete(path: Path) -> dict[str, Any]:
    """The file's keys; for a purpose that came after the file was made, a new one where one may be made here."""
    document = _read_document(path)
    if not set(PURPOSES) <= set(document) and _may_be_made():
        with _locked(path):
            document = json.loads(generate()) | _read_document(path)
            _write_document(path, document)
    return document


def _write_temporary(path: Path, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".keyring-")  # mkstemp makes it 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _write_document(path: Path, document: Mapping[str, Any]) -> None:
    os.replace(_write_temporary(path, json.dumps(document)), path)


def _read_document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _parse(document: Mapping[str, Any], source: str) -> Keyring:
    purposes: dict[str, Purpose] = {}
    for name in PURPOSES:
        try:
            section = document[name]
            keys = _decode_keys(section["keys"])
            retired = _decode_keys(section.get("retired", {}))
            current = int(section["current"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ImproperlyConfigured(
                f"The keyring in {source} has no usable part {name!r}. Give it one:"
                f' {{"current": 1, "keys": {{"1": "32 random bytes in base64"}}}}.'
            ) from error
        if current not in keys or any(len(key) != _KEY_BYTES for key in (*keys.values(), *retired.values())):
            raise ImproperlyConfigured(f"The keyring in {source} needs 32-byte keys and a current one in {name!r}.")
        purposes[name] = Purpose(current=current, keys=keys, retired=retired)
    return Keyring(purposes)


def _decode_keys(texts: Mapping[str, str]) -> dict[int, bytes]:
    return {int(version): base64.b64decode(text, validate=True) for version, text in texts.items()}


@contextmanager
def _file_lock() -> Iterator[None]:
    """One rotation at a time, across processes."""
    _ring()
    with _locked(_path()):
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name("keyring.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
