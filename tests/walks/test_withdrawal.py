"""Withdrawing is as easy as giving, takes effect at once, and reaches what rests on that consent alone."""

from tests.walks.town import Town


def test_marketing_stops_at_once_and_what_rests_on_it_goes(town: Town) -> None:
    account = town.business.account("feng-siqi")
    mine = "profile_id = (SELECT profile_id FROM platform.profile WHERE account_no = %s)"
    sent = town.business.count("platform", "platform.sms_campaign", mine, [account.login])
    pushed = town.business.count("platform", "platform.push_token", mine, [account.login])
    assert sent
    assert pushed
    person = town.visitor("feng-siqi")

    request_id = town.ask(person, "withdrawal", {"purposes": ["marketing_sms"]})

    town.wait_for(request_id, "closed", seconds=15)
    consents = town.business.sql(
        "platform", f"SELECT purpose, granted FROM platform.consent WHERE {mine} ORDER BY purpose", [account.login]
    )
    assert dict(consents) == {"marketing_push": True, "marketing_sms": False}
    assert town.business.count("platform", "platform.sms_campaign", mine, [account.login]) == 0
    # The other purpose and what rests on it are untouched.
    assert town.business.count("platform", "platform.push_token", mine, [account.login]) == pushed
    assert town.steps(request_id) == {("consent", "platform.consent"): 1, ("erase", "platform.sms_campaign"): sent}
