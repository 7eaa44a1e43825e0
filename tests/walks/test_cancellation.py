"""Cancelling a service with a loan running: deferred, approved beforehand, resumed by the repayment alone."""

from datetime import date

from tests.walks.town import Town


def test_the_loan_service_is_closed_once_the_loan_is_repaid_in_its_own_system(town: Town) -> None:
    account = town.business.account("chen-ruolan")
    mine = "customer_id = (SELECT customer_id FROM loan.customer WHERE account_no = %s)"
    town.travel(2026, 11, 23, 10)
    person = town.visitor("chen-ruolan")

    request_id = town.ask(person, "cancellation", {"service": "loan"})
    town.wait_for(request_id, "deferred")
    text = person.visit(f"/requests/{request_id}/").text
    assert "L2" in text
    assert "4,260.00" in text

    desk = town.visitor("support-zhao")
    town.decide(desk, request_id, {"outcome": "approve", "reason": "OK.CANCELLED"})
    assert town.state(request_id) == "deferred"
    assert town.business.count("loan", "loan.customer", "account_no = %s AND closed_on IS NULL", [account.login]) == 1

    # The one thing that happens: the loan company books the repayment.
    town.travel(2026, 12, 18, 10)
    town.business.sql("loan", "UPDATE loan.loan SET balance = 0, settled_on = '2026-12-18' WHERE contract_no = 'L2'")
    town.wait_for(request_id, "closed")

    assert town.business.sql("loan", f"SELECT closed_on FROM loan.customer WHERE {mine}", [account.login]) == [
        (date(2026, 12, 18),)
    ]
    holds = town.holds(request_id)
    assert holds[("loan.customer", date(2031, 12, 18))] == 1
    assert holds[("loan.loan", date(2027, 11, 23))] == 1
    assert holds[("loan.loan", date(2031, 12, 18))] == 1
    for table in ("loan.contact", "loan.face"):
        assert town.business.count("loan", table, mine, [account.login]) == 0
    # Repayments: six had lapsed when she asked, that of 2021-12-05 lapsed on 2026-12-05; the others are held.
    assert town.business.count("loan", "loan.repayment", mine, [account.login]) == 23
    assert town.sql("SELECT started_on FROM rights_request WHERE id = %s", [request_id]) == [(date(2026, 12, 18),)]
    town.wait_told(request_id, ["received", "deferred", "approved", "resumed", "closed"])
    # She can still sign in and see what is held.
    assert "2031" in town.visitor("chen-ruolan").visit("/held/").text
