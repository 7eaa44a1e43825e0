"""One person followed through, day by day, as the domain's worked example tells it."""

from datetime import date

from tests.waiting import wait_until
from tests.walks.town import Town

LOAN = "customer_id = (SELECT customer_id FROM loan.customer WHERE account_no = '880001')"


def test_chen_ruolans_deletion_day_by_day(town: Town) -> None:
    wallet = town.business.sql("wallet", "SELECT customer_id FROM wallet.customer WHERE account_no = '880001'")[0][0]
    paid = f"customer_id = {wallet}"

    # 11-23: filed and ready at 10:00; due 2026-12-08; nothing touched.
    town.travel(2026, 11, 23, 10)
    person = town.visitor("chen-ruolan")
    request_id = town.ask(person, "deletion", {"scope": "everything"})
    assert "12 月 8 日" in person.visit(f"/requests/{request_id}/received/").text
    town.wait_for(request_id, "review")
    assert town.business.count("loan", "loan.repayment", LOAN) == 30
    assert town.business.count("wallet", "wallet.payment", paid) == 40

    # 11-25: the reviewer keeps the family payments (the other owner's) and refers the holding to legal.
    town.travel(2026, 11, 25, 10)
    desk = town.visitor("support-zhao")
    town.decide(
        desk,
        request_id,
        {
            "outcome": "approve",
            "reason": "HOLD.AML",
            "line-wallet.family_payment": "keep",
            "line-wealth.holding": "refer",
        },
    )
    town.travel(2026, 11, 25, 11)
    town.wait_for(request_id, "deferred")
    assert town.business.count("platform", "platform.behaviour", "profile_id = (SELECT profile_id FROM"
                               " platform.profile WHERE account_no = '880001')") == 0  # fmt: skip
    assert town.business.count("loan", "loan.repayment", LOAN) == 24
    assert town.business.count("loan", "loan.contact", LOAN) == 0
    assert town.business.count("loan", "loan.face", LOAN) == 0
    assert town.business.count("wallet", "wallet.payment", paid) == 25
    assert town.business.count("wallet", "wallet.family_payment", paid) == 6
    assert town.business.count("wealth", "wealth.holding", "closed_on = '2024-05-01'") == 1
    assert town.business.count("loan", "loan.loan", LOAN) == 2
    erased = {collection: done for (verb, collection), done in town.steps(request_id).items() if verb == "erase"}
    assert erased == {
        "platform.behaviour": 1200, "loan.repayment": 6, "loan.contact": 3, "loan.face": 1, "wallet.payment": 15,
    }  # fmt: skip
    held = town.holds(request_id)
    assert sum(count for (name, _), count in held.items() if name == "loan.repayment") == 24
    assert sum(count for (name, _), count in held.items() if name == "wallet.payment") == 25
    assert held[("wallet.customer", date(2027, 2, 10))] == 1
    assert held[("loan.repayment", date(2026, 12, 5))] == 1
    assert held[("loan.repayment", date(2031, 11, 5))] == 1
    assert held[("wallet.payment", date(2026, 12, 1))] >= 1
    town.wait_told(request_id, ["received", "approved", "deferred"])

    # 12-02: the payments that ended on 2021-12-01 go by themselves. The request still waits.
    first = held[("wallet.payment", date(2026, 12, 1))]
    town.travel(2026, 12, 2, 9)
    wait_until(lambda: town.business.count("wallet", "wallet.payment", paid) == 25 - first, what="released on 12-02")

    # 12-06: the repayment of 2021-12-05 goes.
    town.travel(2026, 12, 6, 9)
    town.wait_gone("loan", "loan.repayment", f"{LOAN} AND paid_on = '2021-12-05'")

    # That day's look at the loan is over too: it still runs.
    looked = "SELECT check_after > '2026-12-06T09:00+08:00' FROM rights_request WHERE id = %s"
    wait_until(lambda: town.sql(looked, [request_id]) == [(True,)], what="the loan was not looked at on 12-06")
    assert town.state(request_id) == "deferred"

    # 12-18: L2 repaid in the loan system; a later row of that day is not this request's.
    town.travel(2026, 12, 18, 10)
    town.business.sql("loan", "UPDATE loan.loan SET balance = 0, settled_on = '2026-12-18' WHERE contract_no = 'L2'")
    town.business.sql(
        "loan",
        "INSERT INTO loan.repayment (customer_id, contract_no, amount, paid_on)"
        " SELECT customer_id, 'L2', 4260, '2026-12-18' FROM loan.customer WHERE account_no = '880001'",
    )
    town.wait_for(request_id, "closed")
    assert town.sql("SELECT started_on FROM rights_request WHERE id = %s", [request_id]) == [(date(2026, 12, 18),)]
    held = town.holds(request_id)
    assert held[("loan.loan", date(2027, 11, 23))] == 1
    assert held[("loan.loan", date(2031, 12, 18))] == 1
    assert held[("loan.customer", None)] == 1
    assert sum(count for (name, _), count in held.items() if name == "loan.repayment") == 23
    town.wait_told(request_id, ["received", "approved", "deferred", "resumed", "closed"])

    # 2027-02-10 is the last day held; on the day after, the last payment goes and with it the customer file.
    town.travel(2027, 2, 10, 23, 30)
    wait_until(
        lambda: town.business.count("wallet", "wallet.payment", paid) == held_on_last_day(town, paid), what="on 02-10"
    )
    assert town.business.count("wallet", "wallet.customer", paid) == 1
    town.travel(2027, 2, 11, 9)
    town.wait_gone("wallet", "wallet.payment", paid)
    town.wait_gone("wallet", "wallet.customer", paid)
    assert town.business.count("wallet", "wallet.family_payment", paid) == 6
    assert town.business.count("loan", "loan.customer", "account_no = '880001'") == 1


def held_on_last_day(town: Town, paid: str) -> int:
    return town.business.count("wallet", "wallet.payment", f"{paid} AND ended_on = '2022-02-10'")
