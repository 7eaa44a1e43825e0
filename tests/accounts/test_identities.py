"""Finding people by what was verified, while keys rotate; who may ask for whom; masks."""

from datetime import timedelta

import pytest

from accounts import masks
from accounts.authority import NoAuthority, grant_authority, names_of_agents, principals_for, require_authority
from accounts.identities import find_users, get_identities, reindex, set_identity
from accounts.models import Authority, User
from accounts.normal import normalise
from accounts.standin import find_account
from portal.core import keyring
from tests.accounts.people import NOW, AsRole, make_user, speak_for

ID_NUMBER = "11010119880412002X"


def test_identities_are_found_all_along_a_rotation(django_as: AsRole) -> None:
    before = make_user(django_as, phone="19911110001")
    with django_as("owner"):
        set_identity(user=before, kind="id_number", value=ID_NUMBER, verified_at=NOW)
    keyring.rotate("index")
    keyring.rotate("seal")
    after = make_user(django_as, phone="19911110002")
    assert after.account_index.split(":")[0] != before.account_index.split(":")[0]

    def all_are_found() -> bool:  # by the owner, and by the web role, as at sign-in
        with django_as("owner"):
            found = find_users("id_number", ID_NUMBER.lower())
            phones = [found_user.phone for found_user in User.objects.order_by("phone")]
        accounts = [find_account(login) for login in (before.account_no, "199 1111 0001", after.account_no)]
        return (
            [user.pk for user in found] == [before.pk]
            and accounts == [before.pk, before.pk, after.pk]
            and phones == ["19911110001", "19911110002"]
        )

    assert all_are_found()
    with django_as("worker"):
        assert reindex(limit=1) > 0
    assert all_are_found()
    with django_as("worker"):
        while reindex():
            pass
        assert not User.objects.exclude(account_index__startswith=f"v{keyring.current_version('index')}:").exists()
    assert all_are_found()
    keyring.retire("index", keyring.current_version("index") - 1)
    assert all_are_found()


def test_a_number_that_is_taken_under_an_older_key_is_still_taken(django_as: AsRole) -> None:
    make_user(django_as, account_no="880001", phone="19911110001")
    keyring.rotate("index")
    with pytest.raises(ValueError, match="exists"):
        make_user(django_as, account_no="880001")
    with pytest.raises(ValueError, match="exists"):
        make_user(django_as, phone="+86 199-1111-0001")


def test_a_person_is_known_by_account_phone_and_what_was_verified(django_as: AsRole) -> None:
    user = make_user(django_as, account_no="880009", phone="19911110009")
    with django_as("owner"):
        set_identity(user=user, kind="id_number", value="11010119880412002x", verified_at=NOW)
        set_identity(user=user, kind="id_number", value=ID_NUMBER, verified_at=NOW)
    speak_for(user)
    assert get_identities(user) == {"account_no": "880009", "phone": "19911110009", "id_number": ID_NUMBER}


def test_a_login_that_fits_two_accounts_finds_neither(django_as: AsRole) -> None:
    make_user(django_as, account_no="19911110001", phone="")
    make_user(django_as, phone="19911110001")
    assert find_account("19911110001") is None


@pytest.mark.parametrize(
    "typed",
    ["13812342046", "138 1234 2046", "138-1234-2046", "+8613812342046", "１３８１２３４２０４６", "0086 13812342046"],
)
def test_a_phone_has_one_spelling(typed: str) -> None:
    assert normalise("phone", typed) == "13812342046"


# --- who may ask for whom


def test_an_agent_may_ask_within_scope_and_time(django_as: AsRole) -> None:
    agent, principal = make_user(django_as), make_user(django_as, display_name="郑国栋")
    with django_as("owner"):
        grant_authority(
            agent=agent, principal=principal, kind="agent", scope=["access", "correction"],
            valid_until=NOW + timedelta(days=180), proof_note="委托书", now=NOW,
        )  # fmt: skip
    speak_for(agent)
    ((authority),) = principals_for(agent, NOW)
    assert authority.principal.masked_name == "郑**"
    assert get_identities(authority.principal)["account_no"] == principal.account_no
    assert require_authority(agent=agent, principal_id=principal.pk, kind="access", now=NOW) == authority
    for kind, now in (("deletion", NOW), ("access", NOW + timedelta(days=180))):
        with pytest.raises(NoAuthority) as refused:
            require_authority(agent=agent, principal_id=principal.pk, kind=kind, now=now)
        assert refused.value.given == authority
    with pytest.raises(NoAuthority) as refused:
        require_authority(agent=principal, principal_id=agent.pk, now=NOW)
    assert refused.value.given is None


def test_once_revoked_the_agent_sees_nothing_of_the_principal(django_as: AsRole) -> None:
    agent, principal = make_user(django_as), make_user(django_as)
    with django_as("owner"):
        grant_authority(agent=agent, principal=principal, kind="agent", scope=["access"], now=NOW)
    speak_for(principal)  # who may end it alone
    Authority.objects.update(revoked_at=NOW)
    speak_for(agent)
    assert principals_for(agent, NOW) == []
    assert not User.objects.filter(pk=principal.pk).exists()


def test_the_principal_sees_no_row_of_the_agent(django_as: AsRole) -> None:
    agent, principal = make_user(django_as), make_user(django_as)
    with django_as("owner"):
        grant_authority(agent=agent, principal=principal, kind="agent", scope=["access"], now=NOW)
    speak_for(principal)
    assert not User.objects.filter(pk=agent.pk).exists()
    assert names_of_agents() == {agent.pk: agent.masked_name}
    speak_for(agent)
    assert names_of_agents() == {}


# --- masks


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (masks.mask_name("陈若兰"), "陈**"),
        (masks.mask_name("陈"), "陈"),
        (masks.mask_name("Ruolan Chen"), "R***** C***"),
        (masks.mask_phone("13812342046"), "138****2046"),
        (masks.mask_phone("12345"), "*****"),
        (masks.mask_email("ruolan@mail.example"), "r*****@mail.example"),
        (masks.mask_email("r@mail.example"), "r*@mail.example"),
        (masks.mask_email(""), ""),
        (masks.mask_account("880001"), "***001"),
        (masks.mask_account("88"), "**"),
        (masks.mask_id_number(ID_NUMBER), "1*************002X"),
        (masks.mask_id_number(""), ""),
    ],
)
def test_masks(shown: str, expected: str) -> None:
    assert shown == expected
