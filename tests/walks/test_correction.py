"""A contact correction takes effect wherever the value stands; the old one stays in history."""

from tests.walks.town import Town

LETTER = "证件上是另一个名字。"


def test_a_new_phone_number_reaches_every_system_that_had_the_old_one(town: Town) -> None:
    account = town.business.account("chen-ruolan")
    places = {"platform": "platform.profile", "loan": "loan.customer", "wallet": "wallet.customer"}
    for system, table in places.items():
        assert town.business.count(system, table, "phone = %s", [account.phone]) == 1
    person = town.visitor("chen-ruolan")
    page = person.visit("/rights/correction/start/")
    (field,) = [name for name in page.form(field="csrfmiddlewaretoken").fields if name and name.startswith("phone-")]

    request_id = town.ask(person, "correction", {field: "19912345678"})

    town.wait_for(request_id, "closed")
    for system, table in places.items():
        assert town.business.count(system, table, "phone = %s", [account.phone]) == 0
        assert town.business.count(system, table, "phone = '19912345678'") == 1
    history = town.sql("SELECT collection, rows FROM rights_correctionrecord WHERE request_id = %s", [request_id])
    assert sorted(history) == sorted((table, 1) for table in places.values())
    town.wait_told(request_id, ["received", "closed"])


def test_a_new_name_waits_for_a_person_and_a_refusal_changes_nothing(town: Town) -> None:
    person = town.visitor("song-lihua")
    page = person.visit("/rights/correction/start/")
    field = next(name for name in page.form(field="csrfmiddlewaretoken").fields if name and name.startswith("name-"))
    request_id = town.ask(person, "correction", {field: "宋丽花"})
    town.wait_for(request_id, "review")
    desk = town.visitor("support-zhao")
    town.decide(
        desk, request_id, {"outcome": "refuse", "reason": "GROUND.NOT_REQUIRED", "letter": "证件上是另一个名字。"}
    )
    town.wait_for(request_id, "closed")
    assert town.business.count("loan", "loan.customer", "name = '宋丽花'") == 0
    text = person.visit(f"/requests/{request_id}/").text
    assert LETTER in text
    assert "起诉" in text
