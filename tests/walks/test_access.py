"""Access, from the first page to a package on the person's own disk."""

import io
import zipfile

from portal.demo.loading import DATAMAP_DIR
from rights.datamap import parse_documents, read_folder
from tests.unpacking import read_manifest, read_tables
from tests.walks.town import Town


def test_a_person_gets_everything_that_is_held_about_them(town: Town) -> None:
    person = town.visitor("chen-ruolan")
    request_id = town.ask(person, "access", {"scope": "everything"})
    assert "12 月 8 日" in person.visit(f"/requests/{request_id}/received/").text
    town.wait_for(request_id, "closed")

    page = person.visit(f"/requests/{request_id}/package/")
    page = person.send(page, page.form("/package/", field=""))
    page = person.send(page, page.form("/download/", field="code"), {"code": person.newest_code()})
    assert page.response.headers["content-type"] == "application/zip"

    with zipfile.ZipFile(io.BytesIO(page.response.content)) as archive:
        assert archive.testzip() is None
        tables = [item for item in read_manifest(archive)["resources"] if item["type"] == "table"]
        rows = read_tables(archive)
    # The rows of the worked example; three of the consents stand in the platform's own register.
    expected = {
        "platform.profile": 1, "platform.behaviour": 1200, "platform.consent": 3, "loan.customer": 1, "loan.loan": 2,
        "loan.repayment": 30, "loan.contact": 3, "loan.face": 1, "wallet.customer": 1, "wallet.payment": 40,
        "wallet.family_payment": 6, "wealth.holding": 1,
    }  # fmt: skip
    found = {name: len(mine) for name, mine in rows.items() if mine}
    assert {name: count for name, count in found.items() if not name.startswith("portal.")} == expected
    # Beside them what the portal itself has: the sign-in with name, ID number, account and phone, and this very case.
    assert {name: count for name, count in found.items() if name not in expected} == {
        "portal.accounts_user": 1, "portal.accounts_identity": 4, "portal.rights_request": 1, "portal.rights_notice": 2,
        "portal.rights_receipt": 1,
    }  # fmt: skip

    # The field list is the map's minus the declared redactions, and confidential collections are absent without trace.
    data_map = parse_documents(read_folder(DATAMAP_DIR))
    assert {
        resource["name"]: [field["name"] for field in resource["schema"]["fields"]] for resource in tables
    }.keys() == {key.lower() for key, item in data_map.collections.items() if not item.confidential}
    for resource in tables:
        item = data_map.collections[resource["path"].removeprefix("data/").removesuffix(".csv")]
        shown = {field["name"] for field in resource["schema"]["fields"]}
        assert shown == {field.name for field in item.fields} - set(item.third_party)
    assert not {"name", "phone"} & set(rows["loan.contact"][0])


def test_a_package_cannot_be_downloaded_with_a_wrong_code(town: Town) -> None:
    person = town.visitor("feng-siqi")
    request_id = town.ask(person, "access", {"scope": "everything"})
    town.wait_for(request_id, "closed")
    page = person.visit(f"/requests/{request_id}/package/")
    page = person.send(page, page.form("/package/"))
    code = person.newest_code()
    wrong = "000000" if code != "000000" else "111111"
    response = person.client.post(
        f"/requests/{request_id}/package/download/",
        data={"code": wrong, "csrfmiddlewaretoken": str(page.form("/download/").fields["csrfmiddlewaretoken"])},
        headers={"Referer": page.url},
    )
    assert response.status_code == 422
    assert "zip" not in response.headers["content-type"]
