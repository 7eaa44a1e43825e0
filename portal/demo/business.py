"""What the companies themselves do in their systems: a loan is repaid, a balance is paid out, a complaint is closed.
The portal never does these; the demo lets a newcomer do them, to see that the portal notices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from portal.core.systems import UnknownSystem, system_url


@dataclass(frozen=True)
class Deed:
    """Something that can be done in one system. `find` gives key, name and amount of the rows it can be done to; `act`
    does it to %(row)s. Both name the person by %(account_no)s or %(id_number)s."""

    key: str
    system: str
    title: Promise
    button: Promise
    find: str
    act: str


@dataclass(frozen=True)
class Chance:
    """A deed that can be done now."""

    deed: Deed
    row: int
    name: str
    amount: Decimal | None


DEEDS: tuple[Deed, ...] = (
    Deed(
        "loan",
        "loan",
        _("Loan not repaid"),
        _("Repay the loan"),
        find="""
        SELECT loan_id, contract_no, balance FROM loan.loan JOIN loan.customer USING (customer_id)
        WHERE account_no = %(account_no)s AND balance > 0 ORDER BY 1
        """,
        act="""
        WITH due AS (
            SELECT loan_id, customer_id, contract_no, balance, bank_card
            FROM loan.loan JOIN loan.customer USING (customer_id)
            WHERE loan_id = %(row)s AND account_no = %(account_no)s AND balance > 0 FOR UPDATE OF loan
        ), paid AS (
            INSERT INTO loan.repayment (customer_id, contract_no, amount, card_no, paid_on)
            SELECT customer_id, contract_no, balance, bank_card, %(today)s FROM due
        )
        UPDATE loan.loan SET balance = 0, settled_on = %(today)s WHERE loan_id IN (SELECT loan_id FROM due)
        """,
    ),
    Deed(
        "change",
        "wallet",
        _("Money on the balance card"),
        _("Pay it out"),
        find="""
        SELECT change_account_id, right(card_no, 4), balance
        FROM wallet.change_account JOIN wallet.customer USING (customer_id)
        WHERE account_no = %(account_no)s AND balance > 0 ORDER BY 1
        """,
        act="""
        UPDATE wallet.change_account a SET balance = 0 FROM wallet.customer c WHERE a.change_account_id = %(row)s
        AND a.balance > 0 AND a.customer_id = c.customer_id AND c.account_no = %(account_no)s
        """,
    ),
    Deed(
        "payment",
        "wallet",
        _("Payment being processed"),
        _("Complete the payment"),
        find="""
        SELECT payment_id, merchant, amount FROM wallet.payment JOIN wallet.customer USING (customer_id)
        WHERE account_no = %(account_no)s AND status = 'pending' ORDER BY 1
        """,
        act="""
        UPDATE wallet.payment p SET status = 'done', ended_on = %(today)s FROM wallet.customer c
        WHERE p.payment_id = %(row)s AND p.status = 'pending'
        AND p.customer_id = c.customer_id AND c.account_no = %(account_no)s
        """,
    ),
    Deed(
        "freeze",
        "wallet",
        _("Account frozen by law"),
        _("Lift the freeze"),
        find="""
        SELECT customer_id, frozen_on::text, NULL FROM wallet.customer
        WHERE account_no = %(account_no)s AND frozen_on IS NOT NULL
        """,
        act="""
        UPDATE wallet.customer SET frozen_on = NULL
        WHERE customer_id = %(row)s AND frozen_on IS NOT NULL AND account_no = %(account_no)s
        """,
    ),
    Deed(
        "transit",
        "wallet",
        _("Money on a transit card"),
        _("Return the card"),
        find="""
        SELECT transit_card_id, city, balance FROM wallet.transit_card JOIN wallet.customer USING (customer_id)
        WHERE account_no = %(account_no)s AND balance > 0 ORDER BY 1
        """,
        act="""
        UPDATE wallet.transit_card t SET balance = 0, closed_on = coalesce(t.closed_on, %(today)s)
        FROM wallet.customer c WHERE t.transit_card_id = %(row)s AND t.balance > 0
        AND t.customer_id = c.customer_id AND c.account_no = %(account_no)s
        """,
    ),
    Deed(
        "micoin",
        "micoin",
        _("Mi Coins left"),
        _("Refund them"),
        find="""
        SELECT account_id, '', balance FROM micoin.account WHERE account_no = %(account_no)s AND balance > 0
        """,
        act="""
        UPDATE micoin.account SET balance = 0
        WHERE account_id = %(row)s AND balance > 0 AND account_no = %(account_no)s
        """,
    ),
    Deed(
        "fund",
        "wealth",
        _("Fund holding"),
        _("Redeem it"),
        find="""
        SELECT holding_id, fund_name, balance FROM wealth.holding
        WHERE account_no = %(account_no)s AND balance > 0 ORDER BY 1
        """,
        act="""
        WITH held AS (
            SELECT holding_id, units, balance FROM wealth.holding
            WHERE holding_id = %(row)s AND balance > 0 AND account_no = %(account_no)s FOR UPDATE
        ), sold AS (
            INSERT INTO wealth.trade (holding_id, side, units, amount, ordered_at, settled_on)
            SELECT holding_id, 'sell', units, balance, %(today)s, %(today)s FROM held
        )
        UPDATE wealth.holding SET units = 0, balance = 0, closed_on = %(today)s
        WHERE holding_id IN (SELECT holding_id FROM held)
        """,
    ),
    Deed(
        "policy",
        "insurance",
        _("Policy in force"),
        _("Surrender the policy"),
        find="""
        SELECT policy_id, product, NULL FROM insurance.policy JOIN insurance.policyholder USING (policyholder_id)
        WHERE id_number = %(id_number)s AND status = 'in_force' ORDER BY 1
        """,
        act="""
        WITH ended AS (
            UPDATE insurance.policy p SET status = 'ended', ended_on = %(today)s FROM insurance.policyholder h
            WHERE p.policy_id = %(row)s AND p.status = 'in_force' AND p.policyholder_id = h.policyholder_id
            AND h.id_number = %(id_number)s RETURNING p.policy_id
        ), insured AS (
            UPDATE insurance.insured SET ended_on = %(today)s
            WHERE policy_id IN (SELECT policy_id FROM ended) AND ended_on IS NULL
        ), renewed AS (
            UPDATE insurance.renewal SET ended_on = %(today)s
            WHERE policy_id IN (SELECT policy_id FROM ended) AND ended_on IS NULL
        )
        SELECT policy_id FROM ended
        """,
    ),
    Deed(
        "complaint",
        "platform",
        _("Open complaint"),
        _("Close the complaint"),
        find="""
        SELECT complaint_id, subject, NULL FROM platform.complaint
        WHERE account_no = %(account_no)s AND status = 'open' ORDER BY 1
        """,
        act="""
        UPDATE platform.complaint SET status = 'closed', closed_on = %(today)s
        WHERE complaint_id = %(row)s AND status = 'open' AND account_no = %(account_no)s
        """,
    ),
    Deed(
        "review",
        "platform",
        _("Security check under way"),
        _("Finish the check"),
        find="""
        SELECT review_id, review_no, NULL FROM platform.fraud_review
        WHERE account_no = %(account_no)s AND status = 'open' ORDER BY 1
        """,
        act="""
        UPDATE platform.fraud_review SET status = 'closed', closed_on = %(today)s
        WHERE review_id = %(row)s AND status = 'open' AND account_no = %(account_no)s
        """,
    ),
)


def find_chances(identities: Mapping[str, str]) -> tuple[list[Chance], list[str]]:
    """What can be done for a person now, and the systems that do not answer."""
    facts = _facts(identities)
    found: list[Chance] = []
    silent: list[str] = []
    for system in dict.fromkeys(deed.system for deed in DEEDS):
        deeds = [deed for deed in DEEDS if deed.system == system]
        try:
            with psycopg.connect(system_url(system), connect_timeout=2) as connection:
                for deed in deeds:
                    rows = connection.execute(deed.find.encode(), facts).fetchall()
                    found += [Chance(deed, int(key), name, amount) for key, name, amount in rows]
        except (psycopg.Error, UnknownSystem):
            silent.append(system)
    return found, silent


def do_deed(*, key: str, row: int, identities: Mapping[str, str], today: date) -> bool:
    """Do it in the business system, in one transaction; whether there was still something to do. An unknown key raises
    KeyError."""
    deed = {deed.key: deed for deed in DEEDS}[key]
    facts = {**_facts(identities), "row": row, "today": today}
    with psycopg.connect(system_url(deed.system), connect_timeout=2) as connection:
        return connection.execute(deed.act.encode(), facts).rowcount > 0


def _facts(identities: Mapping[str, str]) -> dict[str, Any]:
    return {"account_no": identities.get("account_no"), "id_number": identities.get("id_number")}
