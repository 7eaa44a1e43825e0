"""The stand-alone checker against what others have published, and against files that are no receipts."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from portal.core import verify_receipt

# Data Integrity EdDSA Cryptosuites v1.0, the test vectors of eddsa-jcs-2022.
PUBLIC = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
CONTEXT = ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"]
CREDENTIAL = {
    "@context": CONTEXT,
    "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33",
    "type": ["VerifiableCredential", "AlumniCredential"],
    "name": "Alumni Credential",
    "description": "A minimum viable example of an Alumni Credential.",
    "issuer": "https://vc.example/issuers/5678",
    "validFrom": "2023-01-01T00:00:00Z",
    "credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "The School of Examples"},
}
PROOF: dict[str, Any] = {
    "type": "DataIntegrityProof",
    "cryptosuite": "eddsa-jcs-2022",
    "created": "2023-02-24T23:36:38Z",
    "verificationMethod": f"did:key:{PUBLIC}#{PUBLIC}",
    "proofPurpose": "assertionMethod",
    "@context": CONTEXT,
    "proofValue": "z2HnFSSPPBzR36zdDgK8PbEHeXbR56YF24jwMpt3R1eHXQzJDMWS93FCzpvJpwTWd3GAVFuUfjoJdcnTMuVor51aX",
}


def test_the_signature_is_that_of_the_published_vector() -> None:
    raw = verify_receipt.decode_multibase(PUBLIC, length=34)
    assert raw[:2] == b"\xed\x01"
    assert verify_receipt.encode_key(raw[2:]) == PUBLIC
    signature = verify_receipt.decode_multibase(PROOF["proofValue"], length=64)
    assert verify_receipt.encode_multibase(signature) == PROOF["proofValue"]
    key = Ed25519PublicKey.from_public_bytes(raw[2:])
    key.verify(signature, verify_receipt.signed_bytes({**CREDENTIAL, "proof": PROOF}, PROOF))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": 1.5}', "whole number"),
        (b'{"a": NaN}', "whole number"),
        (b"{}", "no digests"),
        (b'{"x": "' + b"x" * verify_receipt.MOST_BYTES + b'"}', "256 KB"),
        (b'{"digests": {"a": "b"}}', "no digests"),
        (b'{"digests": {}, "salt": "AA"}', "no salt"),
    ],
)
def test_what_is_no_receipt_is_told_and_nothing_fails(text: bytes, reason: str) -> None:
    report = verify_receipt.check(text, {})
    assert [fault.code for fault in report.faults] == ["unreadable"]
    assert reason in report.faults[0].about
    assert not report.genuine


def test_keys_are_read_by_the_name_that_follows_from_them() -> None:
    raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    document = {"verificationMethod": [{"id": "x#whatever", "publicKeyMultibase": verify_receipt.encode_key(raw)}]}
    assert list(verify_receipt.read_keys(json.dumps(document).encode())) == [verify_receipt.name_key(raw)]
    for broken in (b"{}", b"[]", b'{"verificationMethod": [{"publicKeyMultibase": "z0OIl"}]}', b"x"):
        with pytest.raises(verify_receipt.Unreadable):
            verify_receipt.read_keys(broken)


@pytest.mark.parametrize("text", ["z", "zz6", "z1" + PUBLIC[1:], PUBLIC + "1", "u" + PUBLIC[1:]])
def test_a_key_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        verify_receipt.decode_multibase(text, length=34)


def test_every_message_is_there_in_both_languages() -> None:
    for code, (zh, en) in verify_receipt.MESSAGES.items():
        fault = verify_receipt.Fault(code, "7")
        assert ("7" in fault.explain("zh-hans")) == ("{0}" in zh)
        assert ("7" in fault.explain("en")) == ("{0}" in en)
