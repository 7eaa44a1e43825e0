"""Deletion, from the person's page through the desk into seven databases and back."""

from tests.walks.town import Town


def test_what_may_go_goes_after_review_and_what_the_law_keeps_is_held(town: Town) -> None:
    """林晓芸: loan and relationship ended the same day two years ago; AML-5 holds them three years more."""
    account = town.business.account("lin-xiaoyun")
    settled = town.business.sql(
        "loan",
        "SELECT l.settled_on, c.closed_on, l.customer_id FROM loan.loan l JOIN loan.customer c USING (customer_id)"
        " WHERE c.account_no = %s",
        [account.login],
    )
    ((settled_on, closed_on, customer),) = settled
    assert settled_on == closed_on
    person = town.visitor("lin-xiaoyun")
    assert "依法" in person.visit("/rights/deletion/plan/").text

    request_id = town.ask(person, "deletion", {"scope": "everything"})
    town.wait_for(request_id, "review")
    before = town.business.count("loan", "loan.customer")
    desk = town.visitor("support-zhao")
    town.decide(desk, request_id, {"outcome": "approve", "reason": "HOLD.AML"})
    town.wait_for(request_id, "closed")

    assert town.business.count("loan", "loan.customer") == before
    assert town.holds(request_id)[("loan.loan", settled_on.replace(year=settled_on.year + 5))] == 1
    assert town.business.count("loan", "loan.face", f"customer_id = {customer}") == 0
    assert town.business.count("loan", "loan.contact", f"customer_id = {customer}") == 0
    town.wait_told(request_id, ["received", "approved", "closed"])
    assert "依法保留" in person.visit("/held/").text


def test_a_persons_last_trace_goes_once_every_period_is_over(town: Town) -> None:
    """宋丽华: ended six years ago; nothing of the loan company stays."""
    account = town.business.account("song-lihua")
    mine = "customer_id IN (SELECT customer_id FROM loan.customer WHERE account_no = %s)"
    assert town.business.count("loan", "loan.customer", "account_no = %s", [account.login]) == 1
    person = town.visitor("song-lihua")
    request_id = town.ask(person, "deletion", {"scope": "chosen", "companies": ["loan"]})
    town.wait_for(request_id, "review")
    desk = town.visitor("support-zhao")
    town.decide(desk, request_id, {"outcome": "approve", "reason": "OK.PURPOSE_END"})
    town.wait_for(request_id, "closed")
    for table in ("loan.loan", "loan.repayment", "loan.customer"):
        assert town.business.count("loan", table, mine, [account.login]) == 0
    assert town.business.count("loan", "loan.customer", "account_no = %s", [account.login]) == 0
    # Only the loan company was asked for.
    assert town.business.count("platform", "platform.profile", "account_no = %s", [account.login]) == 1


def test_a_request_taken_back_changes_nothing(town: Town) -> None:
    account = town.business.account("song-lihua")
    person = town.visitor("song-lihua")
    request_id = town.ask(person, "deletion", {"scope": "everything"})
    town.wait_for(request_id, "review")
    page = person.visit(f"/requests/{request_id}/")
    page = person.send(page, page.form("/take-back/"))
    town.wait_for(request_id, "closed")
    assert town.business.count("loan", "loan.customer", "account_no = %s", [account.login]) == 1
    assert town.steps(request_id) == {}
