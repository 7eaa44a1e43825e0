"""Every row of the domain's table of decisions has its reason, in both languages, with its source."""

import pytest

from rights.kernel.decisions import LEGAL_SECRECY, REASONS, REFUSALS, Outcome, reason

TABLE = [
    "OK.ACCESS",
    "ACCESS.LEGAL_CONFIDENTIAL",
    "REDACT.THIRD_PARTY",
    "REPEAT.FEE_OR_REFUSE",
    "OK.CORRECT",
    "NEED.EVIDENCE",
    "OK.CORRECT_VERSIONED",
    "BLOCK.LOAN",
    "HOLD.AML",
    "HOLD.RELATION_ACTIVE",
    "OK.PURPOSE_END",
    "OK.BIOMETRIC_ERASED",
    "OK.ALT_VERIFY",
    "OK.MARKETING_OFF",
    "WITHDRAW.CONTRACT",
    "OK.SHARING_STOPPED",
    "OK.CANCELLED",
    "BLOCK.DISPUTE",
    "BLOCK.WEALTH",
    "BLOCK.WALLET",
    "BLOCK.MICOIN",
    "OK.FORFEIT_CONFIRMED",
    "OK.MINOR",
    "OK.AGENT",
    "AGENT.UNAUTHORISED",
    "DECEASED.REVIEW",
    "REPEAT.ABUSE",
    "NA.ANONYMISED",
    "HOLD.BACKUP",
    "HOLD.TECHNICAL",
    "ID.UNVERIFIED",
    "OK.PORTABLE",
    "GROUND.PUBLIC",
    "GROUND.CONFIDENCE",
    "GROUND.NOT_REQUIRED",
    "GROUND.HARMS_OTHERS",
    "GROUND.ANTI_FRAUD",
    "GROUND.UNREALISTIC",
    "HOLD.NO_RULE",
]


@pytest.mark.parametrize("key", TABLE)
def test_each_reason_of_the_table_is_there(key: str) -> None:
    assert REASONS[key].zh
    assert REASONS[key].en
    assert REASONS[key].basis


@pytest.mark.parametrize("key", list(REASONS))
def test_texts_are_plain(key: str) -> None:
    found = REASONS[key]
    assert not set("!！您") & set(found.zh + found.en)
    assert found.text("en-gb") == found.en
    assert found.text("zh-hans") == found.zh


def test_the_sentence_on_secrecy_is_no_ground_to_choose() -> None:
    assert LEGAL_SECRECY.key not in REFUSALS
    assert all(REASONS[key].outcome is Outcome.REFUSE for key in REFUSALS)


def test_a_reason_is_found_by_its_key_and_a_missing_one_is_an_error() -> None:
    assert reason("HOLD.AML") is REASONS["HOLD.AML"]
    with pytest.raises(KeyError):
        reason("HOLD.NOTHING")
