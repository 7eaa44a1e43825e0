"""Every row of the domain's table of decisions has its reason, in both languages, with its source."""

import pytest

from rights.kernel.decisions import LEGAL_SECRECY, REASONS, REFUSALS, Outcome, reason

TABLE = {
    "OK.ACCESS": "F",
    "ACCESS.LEGAL_CONFIDENTIAL": "R",
    "REDACT.THIRD_PARTY": "P",
    "REPEAT.FEE_OR_REFUSE": "H",
    "OK.CORRECT": "F",
    "NEED.EVIDENCE": "H",
    "OK.CORRECT_VERSIONED": "F",
    "BLOCK.LOAN": "D",
    "HOLD.AML": "P",
    "HOLD.RELATION_ACTIVE": "P",
    "OK.PURPOSE_END": "F",
    "OK.BIOMETRIC_ERASED": "F",
    "OK.ALT_VERIFY": "F",
    "OK.MARKETING_OFF": "F",
    "WITHDRAW.CONTRACT": "P",
    "OK.SHARING_STOPPED": "F",
    "OK.CANCELLED": "F",
    "BLOCK.DISPUTE": "H",
    "BLOCK.WEALTH": "D",
    "BLOCK.WALLET": "D",
    "BLOCK.MICOIN": "D",
    "OK.FORFEIT_CONFIRMED": "F",
    "OK.MINOR": "F",
    "OK.AGENT": "F",
    "DECEASED.REVIEW": "H",
    "REPEAT.ABUSE": "H",
    "NA.ANONYMISED": "R",
    "HOLD.BACKUP": "P",
    "HOLD.TECHNICAL": "P",
    "OK.PORTABLE": "F",
    "GROUND.PUBLIC": "R",
    "GROUND.CONFIDENCE": "R",
    "GROUND.NOT_REQUIRED": "R",
    "GROUND.HARMS_OTHERS": "R",
    "GROUND.ANTI_FRAUD": "R",
    "GROUND.UNREALISTIC": "R",
    "HOLD.NO_RULE": "H",
}
WITHOUT_OUTCOME = {"AGENT.UNAUTHORISED", "ID.UNVERIFIED"}
"""Rows 27 and 33 of the table say what is done, which is none of its outcomes."""
MORE = {
    # What policies and other facts in the way come to as the loans and disputes of the table do.
    "BLOCK.PENDING",
    "BLOCK.POLICY",
    "BLOCK.TRANSIT",
    "BLOCK.FRAUD",
    "BLOCK.FREEZE",
    # Retention by other laws than those against money laundering, by exception, and for the sake of what stays.
    "HOLD.LAW",
    "HOLD.LITIGATION",
    "HOLD.EXTENDED",
    "HOLD.NEEDED",
    "OK.PERIOD_OVER",
    "OK.CONSENT_WITHDRAWN",
    "OK.NOTHING_HELD",
    "SHARED.OWNERS",
    "SYSTEM.UNKNOWN",
    # What an access package names as left out, beside what is anonymised.
    "OMIT.UNANSWERED",
    "OMIT.NOT_ASKED",
    "OMIT.NOT_CONNECTED",
    "OMIT.DERIVED",
    "OMIT.BASIS",
    # The ends of a quoted fee that was not accepted.
    "FEE.DECLINED",
    "FEE.UNANSWERED",
}


def test_the_reasons_are_those_of_the_table_and_those_that_the_product_adds() -> None:
    assert set(REASONS) == set(TABLE) | WITHOUT_OUTCOME | MORE


@pytest.mark.parametrize("key", list(REASONS))
def test_each_reason_has_its_source_and_texts_in_both_languages(key: str) -> None:
    assert REASONS[key].zh
    assert REASONS[key].en
    assert REASONS[key].basis


@pytest.mark.parametrize(("key", "outcome"), TABLE.items())
def test_each_reason_comes_to_what_the_table_says(key: str, outcome: str) -> None:
    assert REASONS[key].outcome == outcome


@pytest.mark.parametrize("key", list(REASONS))
def test_texts_are_plain(key: str) -> None:
    found = REASONS[key]
    assert not set("!！您") & set(found.zh + found.en)
    assert found.text("en-gb") == found.en
    assert found.text("zh-hans") == found.zh


def test_the_sentence_on_secrecy_is_no_ground_to_choose() -> None:
    assert LEGAL_SECRECY.key == "ACCESS.LEGAL_CONFIDENTIAL"
    assert LEGAL_SECRECY.key not in REFUSALS
    assert all(REASONS[key].outcome is Outcome.REFUSE for key in REFUSALS)


def test_a_reason_is_found_by_its_key_and_a_missing_one_is_an_error() -> None:
    assert reason("HOLD.AML") is REASONS["HOLD.AML"]
    with pytest.raises(KeyError):
        reason("HOLD.NOTHING")
