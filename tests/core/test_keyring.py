import base64
import hashlib
import hmac
import json
import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from portal.core import keyring


@pytest.fixture
def ring(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keyring of its own, in an empty folder."""
    monkeypatch.delenv("KEYRING", raising=False)
    monkeypatch.delenv("KEYRING_FILE", raising=False)
    settings.DATA_DIR = tmp_path
    return tmp_path / "keyring.json"


def test_a_sealed_value_opens_in_its_own_context_only(ring: Path) -> None:
    token = keyring.seal("陈若兰".encode(), context="accounts.User.display_name")
    assert keyring.unseal(token, context="accounts.User.display_name").decode() == "陈若兰"
    with pytest.raises(keyring.SealBroken):
        keyring.unseal(token, context="accounts.User.phone")


def test_the_same_value_is_sealed_differently_each_time(ring: Path) -> None:
    assert keyring.seal(b"x", context="c") != keyring.seal(b"x", context="c")


@pytest.mark.parametrize("position", [0, 2, 5, 20, -1])
def test_a_changed_byte_does_not_open(ring: Path, position: int) -> None:
    token = bytearray(keyring.seal(b"a value", context="c"))
    token[position] ^= 1
    with pytest.raises(keyring.SealBroken):
        keyring.unseal(bytes(token), context="c")


def test_a_cut_value_does_not_open(ring: Path) -> None:
    with pytest.raises(keyring.SealBroken):
        keyring.unseal(b"\x01\x00", context="c")


def test_the_file_is_for_its_owner_alone(ring: Path) -> None:
    keyring.blind_index("phone", "1")
    assert stat.S_IMODE(ring.stat().st_mode) == 0o600
    assert [path.name for path in ring.parent.iterdir()] == ["keyring.json"]


def test_values_sealed_before_a_rotation_still_open_and_new_ones_use_the_new_key(ring: Path) -> None:
    before = keyring.seal(b"before", context="c")
    assert keyring.rotate("seal") == 2
    after = keyring.seal(b"after", context="c")
    assert keyring.unseal(before, context="c") == b"before"
    assert keyring.unseal(after, context="c") == b"after"
    assert (keyring.sealed_version(before), keyring.sealed_version(after)) == (1, 2)


def test_a_retired_key_opens_nothing_more(ring: Path) -> None:
    before = keyring.seal(b"before", context="c")
    keyring.rotate("seal")
    keyring.retire("seal", 1)
    with pytest.raises(keyring.SealBroken, match="v1"):
        keyring.unseal(before, context="c")


def test_the_current_key_cannot_be_retired(ring: Path) -> None:
    keyring.blind_index("phone", "1")
    with pytest.raises(ValueError, match="current"):
        keyring.retire("index", 1)


def test_an_index_is_found_under_every_live_key(ring: Path) -> None:
    old = keyring.blind_index("phone", "13812342046")
    keyring.rotate("index")
    new = keyring.blind_index("phone", "13812342046")
    assert old.startswith("v1:")
    assert new.startswith("v2:")
    assert old[3:] != new[3:]
    assert keyring.blind_indexes("phone", "13812342046") == [new, old]


def test_the_same_digits_as_phone_and_as_account_do_not_match(ring: Path) -> None:
    assert keyring.blind_index("phone", "880001") != keyring.blind_index("account_no", "880001")


def test_a_data_key_seals_and_without_it_nothing_opens(ring: Path) -> None:
    mine, other = keyring.new_data_key(), keyring.new_data_key()
    token = keyring.seal_under(mine, b"identifiers", context="vault")
    assert keyring.unseal_under(mine, token, context="vault") == b"identifiers"
    with pytest.raises(keyring.SealBroken):
        keyring.unseal_under(other, token, context="vault")
    keyring.rotate("seal")
    rewrapped = keyring.rewrap_data_key(mine)
    keyring.retire("seal", 1)
    assert keyring.unseal_under(rewrapped, token, context="vault") == b"identifiers"


def test_a_rotated_signing_key_still_verifies_what_it_signed(ring: Path) -> None:
    signature, name = keyring.signing_key().sign(b"head"), keyring.signing_key_id()
    keyring.rotate("sign")
    assert keyring.signing_key_id() != name
    keyring.verify_keys()[name].verify(signature, b"head")


def test_without_demo_a_missing_keyring_stops_instead_of_being_made_up(
    ring: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEMO = False
    monkeypatch.delenv("PORTAL_EMBEDDED", raising=False)
    with pytest.raises(ImproperlyConfigured, match="KEYRING"):
        keyring.seal(b"x", context="c")
    assert not ring.exists()


def test_a_named_file_is_never_made_up(ring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYRING_FILE", str(ring.with_name("elsewhere.json")))
    with pytest.raises(ImproperlyConfigured):
        keyring.seal(b"x", context="c")


def test_the_keyring_may_come_from_the_environment(ring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYRING", keyring.generate())
    assert keyring.unseal(keyring.seal(b"x", context="c"), context="c") == b"x"
    assert not ring.exists()
    with pytest.raises(ImproperlyConfigured):
        keyring.rotate("seal")


@pytest.mark.parametrize("broken", ["{}", '{"seal": {"current": 1, "keys": {"1": "AAAA"}}}'])
def test_a_broken_keyring_is_named(ring: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setenv("KEYRING", broken)
    with pytest.raises(ImproperlyConfigured, match="seal"):
        keyring.seal(b"x", context="c")


def test_a_keyring_shows_no_key(ring: Path) -> None:
    keyring.seal(b"x", context="c")
    secret = json.loads(ring.read_text())["seal"]["keys"]["1"]
    assert secret not in repr(keyring._ring())


def test_a_key_for_masks_is_derived_by_name_under_the_current_key_of_its_purpose(ring: Path) -> None:
    one = keyring.mask_key("pseudonym customer")
    raw = base64.b64decode(json.loads(ring.read_text())["mask"]["keys"]["1"])
    assert one == hmac.new(raw, b"masks as pseudonym customer", hashlib.sha256).digest()
    assert keyring.mask_key("pseudonym visitor") != one
    keyring.rotate("seal")
    assert keyring.mask_key("pseudonym customer") == one
    keyring.rotate("mask")
    assert keyring.mask_key("pseudonym customer") != one


def test_a_keyring_made_before_a_purpose_came_gets_a_key_for_it(ring: Path) -> None:
    """Where one may be made on first use; its other keys stay what they are."""
    sealed = keyring.seal(b"a value", context="c")
    before = json.loads(ring.read_text())
    ring.write_text(json.dumps({name: part for name, part in before.items() if name != "mask"}))
    one = keyring.mask_key("x")
    assert keyring.mask_key("x") == one
    assert keyring.unseal(sealed, context="c") == b"a value"
    after = json.loads(ring.read_text())
    assert {name: after[name] for name in ("seal", "index", "sign")} == {
        name: before[name] for name in ("seal", "index", "sign")
    }


def test_in_production_a_keyring_without_a_purpose_is_named(
    ring: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.loads(keyring.generate())
    del document["mask"]
    ring.write_text(json.dumps(document))
    monkeypatch.setenv("KEYRING_FILE", str(ring))
    with pytest.raises(ImproperlyConfigured, match="'mask'"):
        keyring.mask_key("x")
    assert "mask" not in json.loads(ring.read_text())
