#!/usr/bin/env python3
"""Check a receipt of a privacy rights portal, without the portal: python verify_receipt.py receipt.json --keys did.json

This one file needs Python 3.11 and the package `cryptography`, and no network. `did.json` are the portal's public keys,
from its /.well-known/did.json; get them over a way you trust and keep them. With `--heads` (a folder of exported heads,
or one such file) the head that the receipt was proved under must be among those you keep. `--text` checks that a letter
is the one that the receipt stands for.

Exit code 0: genuine, and in the ledger. 3: genuine, and not yet proved to be in the ledger. 1: not genuine, and why.
2: a file could not be read.

What is checked. `digests` has a salted SHA-256 of every field, so that an altered field can be named. Their own digest
stands in the ledger entry, whose hash follows from its other members. The whole is signed as a W3C Data Integrity proof
(eddsa-jcs-2022). The second proof is an audit path (RFC 6962) from the entry to a signed head of the ledger.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MOST_BYTES = 256 * 1024
BESIDE = ("digests", "salt", "entry", "access", "proof")
"""Members of a receipt that are not among its fields."""

_ENTRY = {"chain": str, "seq": int, "at": int, "kind": str, "previous": str, "commitments": dict, "body": dict}
_SIGNATURE = ("@context", "created", "cryptosuite", "proofPurpose", "proofValue", "type", "verificationMethod")
_INCLUSION = ("head", "index", "path", "type")
_HEAD = ("at", "format", "key", "number", "previous", "root", "signature", "size")
_HEX = re.compile(r"[0-9a-f]{64}")
_HEX_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519 = b"\xed\x01"

MESSAGES = {
    "unreadable": ("这不是回执文件：{0}。", "This is not a receipt file: {0}."),
    "field": ("“{0}”一项被改过。", "The field “{0}” was altered."),
    "added": ("“{0}”一项是后加的。", "The field “{0}” was added."),
    "removed": ("“{0}”一项被删去了。", "The field “{0}” was removed."),
    "entry": (
        "内容和它对应的账本记录不符：回执或记录被改过。",
        "What it states is not what its ledger entry stands for: the receipt or the entry was altered.",
    ),
    "key": (
        "签名用的密钥 {0} 不在这个平台公布的密钥里：不是这里发出的。",
        "It names the key {0}, which is not among this portal's published keys: it was not issued here.",
    ),
    "signature": (
        "签名和文件不符：文件在签名之后被改过，或签名是假的。",
        "The signature does not fit: the file was altered after it was signed, or the signature is forged.",
    ),
    "path": (
        "账本证明不成立：从这条记录算不到签名的账本状态。",
        "The proof of the ledger does not hold: the entry does not lead to the signed head.",
    ),
    "head_key": (
        "账本状态的签名密钥 {0} 不在公布的密钥里。",
        "The head of the ledger names the key {0}, which is not among the published keys.",
    ),
    "head_signature": ("账本状态的签名不成立。", "The signature of the ledger's head does not hold."),
    "head_missing": ("你给的账本状态里没有第 {0} 号。", "Head {0} is not among the heads you gave."),
    "head_differs": (
        "第 {0} 号账本状态和你保存的那份不同。",
        "Head {0} differs from the copy that you keep.",
    ),
    "text": ("这段文字不是回执对应的那一段。", "This text is not the one that the receipt stands for."),
    "no_text": ("这份回执没有对应的文字。", "This receipt does not stand for any text."),
}


class Unreadable(ValueError):
    """Not a receipt at all; `str()` says in English what is missing."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: a key of MESSAGES and what it is about."""

    code: str
    about: str = ""

    def explain(self, language: str = "en") -> str:
        zh, en = MESSAGES[self.code]
        return (en if language.startswith("en") else zh).format(self.about)


@dataclass(frozen=True)
class Report:
    """What a check came to. `head` is the signed head under which the entry is proved to be; None while it is not."""

    document: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    key: str = ""
    head: Mapping[str, Any] | None = None

    @property
    def genuine(self) -> bool:
        return not self.faults

    @property
    def proved(self) -> bool:
        return self.genuine and self.head is not None


def check(
    text: bytes,
    keys: Mapping[str, Ed25519PublicKey],
    *,
    heads: Callable[[int], Any] | None = None,
    letter: str | None = None,
) -> Report:
    """Check the bytes of a receipt against the published keys, by name. `heads` gives a kept head by its number, or
    None; `letter` is a text that the receipt is said to stand for."""
    try:
        document = read(text)
        signature, inclusion = _require_shape(document)
    except Unreadable as error:
        return Report(faults=(Fault("unreadable", str(error)),))
    faults = [*_check_fields(document)]
    name = signature["verificationMethod"].rpartition("#")[2]
    if name not in keys:
        faults.append(Fault("key", name))
    elif not _is_signed(document, signature, keys[name]):
        faults.append(Fault("signature"))
    head = None
    if inclusion is not None:
        head = inclusion["head"]
        faults += _check_inclusion(document["entry"], inclusion, keys)
        if heads is not None:
            kept = heads(head["number"])
            if kept is None:
                faults.append(Fault("head_missing", str(head["number"])))
            elif kept != head:
                faults.append(Fault("head_differs", str(head["number"])))
    if letter is not None:
        faults += _check_letter(document, letter)
    return Report(document=document, faults=tuple(faults), key=name, head=head)


# --- how a receipt is written


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value that is hashed and signed (RFC 8785, for text and whole numbers)."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_fields(fields: Mapping[str, Any], *, salt: str) -> dict[str, str]:
    """A digest of each field by its name."""
    start = bytes.fromhex(salt)
    return {name: hashlib.sha256(start + canonical({name: value})).hexdigest() for name, value in fields.items()}


def digest_digests(digests: Mapping[str, str]) -> str:
    """What the ledger entry commits to."""
    return hashlib.sha256(canonical(digests)).hexdigest()


def hash_entry(entry: Mapping[str, Any]) -> bytes:
    """The hash of a ledger entry, from what it says."""
    lines = (
        "portal-entry-1", entry["chain"], str(entry["seq"]), str(entry["at"]), entry["kind"], entry["previous"],
        canonical(entry["commitments"]).decode(), canonical(entry["body"]).decode(),
    )  # fmt: skip
    return hashlib.sha256("\n".join(lines).encode()).digest()


def signed_bytes(document: Mapping[str, Any], options: Mapping[str, Any]) -> bytes:
    """What a Data Integrity signature of `document` covers, with these proof options (eddsa-jcs-2022)."""
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    config = {name: value for name, value in options.items() if name != "proofValue"}
    return hashlib.sha256(canonical(config)).digest() + hashlib.sha256(canonical(unsecured)).digest()


def encode_multibase(data: bytes) -> str:
    """Multibase base58btc."""
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return "z" + "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def decode_multibase(text: str, *, length: int) -> bytes:
    """Multibase base58btc of exactly `length` bytes, in its one spelling. Raises ValueError."""
    number = 0
    for digit in text[1:]:
        number = number * 58 + _ALPHABET.index(digit)
    data = number.to_bytes(length, "big") if number.bit_length() <= 8 * length else b""
    if encode_multibase(data) != text:
        raise ValueError("Not multibase base58btc of this length.")
    return data


def encode_key(raw: bytes) -> str:
    """A raw public key as a Multikey."""
    return encode_multibase(_ED25519 + raw)


def name_key(raw: bytes) -> str:
    """The name of a public key: the start of its SHA-256."""
    return hashlib.sha256(raw).hexdigest()[:16]


def read_keys(text: bytes) -> dict[str, Ed25519PublicKey]:
    """The keys of a did.json, by name. Raises Unreadable."""
    try:
        methods = _load(text)["verificationMethod"]
        raw = [decode_multibase(method["publicKeyMultibase"], length=34).removeprefix(_ED25519) for method in methods]
        return {name_key(key): Ed25519PublicKey.from_public_bytes(key) for key in raw}
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable("it has no list of public keys (verificationMethod, publicKeyMultibase)") from error


# --- reading


def read(text: bytes) -> dict[str, Any]:
    """The JSON object of a receipt. Raises Unreadable."""
    if len(text) > MOST_BYTES:
        raise Unreadable(f"it has more than {MOST_BYTES // 1024} KB")
    document = _load(text)
    if not isinstance(document, dict):
        raise Unreadable("it is not a JSON object")
    return document


def _load(text: bytes) -> Any:
    try:
        return json.loads(
            text.decode("utf-8-sig"),
            object_pairs_hook=_refuse_twice,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is not JSON") from error


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a name stands in it twice")
    return found


def _refuse_number(text: str) -> Any:
    raise Unreadable(f"{text[:20]} is not a whole number")


def _require_shape(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """The signature and, where there is one, the inclusion proof. Raises Unreadable where a member is missing, unknown
    or of another type: nothing may stand in a receipt that no check looks at."""
    digests, entry, proofs = document.get("digests"), document.get("entry"), document.get("proof")
    if not isinstance(digests, dict) or not all(_is_hex(value) for value in digests.values()):
        raise Unreadable("it has no digests of its fields")
    if not isinstance(document.get("salt"), str) or not re.fullmatch(r"[0-9a-f]{32}", document["salt"]):
        raise Unreadable("it has no salt")
    if not isinstance(document.get("event"), str):
        raise Unreadable("it names no event")
    if not isinstance(entry, dict) or entry.keys() != _ENTRY.keys():
        raise Unreadable("it has no ledger entry")
    for name, kind in _ENTRY.items():
        if type(entry[name]) is not kind:
            raise Unreadable(f"its ledger entry has no {name}")
    if not isinstance(proofs, list) or not 1 <= len(proofs) <= 2 or not all(isinstance(one, dict) for one in proofs):
        raise Unreadable("it is not signed")
    signature, inclusion = proofs[0], proofs[1] if len(proofs) == 2 else None
    if sorted(signature) != sorted(_SIGNATURE) or signature["type"] != "DataIntegrityProof":
        raise Unreadable("it is not signed with a Data Integrity proof")
    if signature["cryptosuite"] != "eddsa-jcs-2022" or not isinstance(signature["verificationMethod"], str):
        raise Unreadable("it is not signed with eddsa-jcs-2022")
    if inclusion is not None:
        _require_inclusion(inclusion)
    return signature, inclusion


def _require_inclusion(inclusion: Mapping[str, Any]) -> None:
    if sorted(inclusion) != sorted(_INCLUSION) or inclusion["type"] != "MerkleInclusionProof":
        raise Unreadable("its second proof is not an inclusion proof")
    head, path = inclusion["head"], inclusion["path"]
    if not isinstance(head, dict) or sorted(head) != sorted(_HEAD):
        raise Unreadable("its inclusion proof has no head")
    if not isinstance(path, list) or not all(_is_hex(step) for step in path) or type(inclusion["index"]) is not int:
        raise Unreadable("its inclusion proof has no path")
    texts = all(isinstance(head[name], str) for name in ("at", "format", "key", "previous", "root", "signature"))
    if not texts or type(head["number"]) is not int or type(head["size"]) is not int:
        raise Unreadable("its head has a member of another type")


def _is_hex(value: Any) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


# --- checking


def _check_fields(document: Mapping[str, Any]) -> list[Fault]:
    fields = {name: value for name, value in document.items() if name not in BESIDE}
    stated, found = document["digests"], digest_fields(fields, salt=document["salt"])
    faults = [Fault("added", name) for name in found if name not in stated]
    faults += [Fault("removed", name) for name in stated if name not in found]
    faults += [Fault("field", name) for name in found if name in stated and stated[name] != found[name]]
    committed = document["entry"]["commitments"].get(f"receipt.{document['event']}")
    if committed != digest_digests(stated) and not faults:
        faults.append(Fault("entry"))
    return faults


def _is_signed(document: Mapping[str, Any], signature: Mapping[str, Any], key: Ed25519PublicKey) -> bool:
    try:
        key.verify(decode_multibase(signature["proofValue"], length=64), signed_bytes(document, signature))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return bool(signature["@context"] == document.get("@context"))


def _check_inclusion(
    entry: Mapping[str, Any], inclusion: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey]
) -> list[Fault]:
    head, faults = inclusion["head"], []
    leaf = hashlib.sha256(b"\x00" + hash_entry(entry)).digest()
    path = [bytes.fromhex(step) for step in inclusion["path"]]
    if root_of(leaf, index=inclusion["index"], size=head["size"], path=path) != head["root"]:
        faults.append(Fault("path"))
    if head["key"] not in keys:
        faults.append(Fault("head_key", head["key"]))
    elif not is_head_signed(head, keys[head["key"]]):
        faults.append(Fault("head_signature"))
    return faults


def root_of(leaf: bytes, *, index: int, size: int, path: Sequence[bytes]) -> str | None:
    """The root that an audit path leads to, in hex (RFC 9162, 2.1.3.2); None for a path that is too long or short."""
    if not 0 <= index < size:
        return None
    place, last, root = index, size - 1, leaf
    for step in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            root = hashlib.sha256(b"\x01" + step + root).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = hashlib.sha256(b"\x01" + root + step).digest()
        place, last = place >> 1, last >> 1
    return root.hex() if last == 0 else None


def is_head_signed(head: Mapping[str, Any], key: Ed25519PublicKey) -> bool:
    """Whether a signed head of the ledger is as it was signed."""
    if not _HEX_SIGNATURE.fullmatch(head["signature"]):
        return False
    unsigned = {name: value for name, value in head.items() if name != "signature"}
    try:
        key.verify(bytes.fromhex(head["signature"]), canonical(unsigned))
    except InvalidSignature:
        return False
    return True


def _check_letter(document: Mapping[str, Any], letter: str) -> list[Fault]:
    """White space at its ends and the kind of its line breaks are not part of a letter."""
    told = document.get("text")
    salt = told.get("salt") if isinstance(told, dict) else None
    if not isinstance(salt, str) or not re.fullmatch(r"[0-9a-f]{32}", salt):
        return [Fault("no_text")]
    lines = "\n".join(letter.splitlines())
    spellings = {letter, lines, lines.strip(), lines.replace("\n", "\r\n"), lines.strip().replace("\n", "\r\n")}
    digests = {hashlib.sha256(bytes.fromhex(salt) + spelling.encode()).hexdigest() for spelling in spellings}
    return [] if document["entry"]["commitments"].get("text") in digests else [Fault("text")]


# --- at the command line


def read_heads(place: Path) -> dict[int, Any]:
    """Exported heads by number: of a folder, or of one file. Raises Unreadable."""
    paths = sorted(place.glob("*.json")) if place.is_dir() else [place]
    found = {}
    for path in paths:
        head = _load(path.read_bytes())
        if not isinstance(head, dict) or "number" not in head:
            raise Unreadable(f"{path} is not an exported head")
        found[head["number"]] = head
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a receipt of a privacy rights portal, without the portal.")
    parser.add_argument("receipt", type=Path, help="the receipt file")
    parser.add_argument("--keys", type=Path, required=True, help="the portal's /.well-known/did.json")
    parser.add_argument("--heads", type=Path, help="a folder of exported heads, or one of them")
    parser.add_argument("--text", type=Path, help="a letter that the receipt stands for")
    parser.add_argument("--lang", choices=["en", "zh"], default="en")
    given = parser.parse_args(arguments)
    try:
        keys = read_keys(given.keys.read_bytes())
        heads = read_heads(given.heads) if given.heads else None
        letter = given.text.read_text(encoding="utf-8") if given.text else None
        receipt = given.receipt.read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        return _say(f"cannot read: {error}", code=2)
    except Unreadable as error:
        return _say(f"{given.keys if not given.heads else given.heads}: {error}", code=2)
    report = check(receipt, keys, heads=heads.get if heads is not None else None, letter=letter)
    if report.faults:
        lines = ["NOT GENUINE", *(f"- {fault.explain(given.lang)}" for fault in report.faults)]
        return _say("\n".join(lines), code=1)
    document = report.document
    lines = [
        "GENUINE",
        f"{document.get('event')} of {document.get('reference')}, {document.get('time')}; signed with key {report.key}",
    ]
    if report.head is None:
        return _say("\n".join([*lines, "Not yet proved to be in the ledger: download it again later."]), code=3)
    kept = ", the same as the copy you keep" if heads is not None else ""
    return _say("\n".join([*lines, f"In the ledger under head {report.head['number']} of {report.head['at']}{kept}"]))


def _say(text: str, *, code: int = 0) -> int:
    sys.stdout.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
