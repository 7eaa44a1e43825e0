"""A deletion that reaches beyond the databases: a paper archive, a processor that speaks OpenDSR, and a recipient."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rights.actions.datamap import store_documents
from tests import conftest
from tests.business import TODAY, Business
from tests.connectors.partners import Processor, connect_processor, send, serve
from tests.stack import Stack, django_as
from tests.waiting import wait_until
from tests.walks.town import Town

MAP = {
    "version": 1,
    "entities": {"partner_company": {"name": {"zh": "合作公司", "en": "Partner company"}}},
    "systems": {
        "paper": {
            "kind": "manual",
            "entity": "partner_company",
            "label": {"zh": "纸质档案", "en": "Paper archive"},
            "instructions": {"zh": "到三号仓库取出档案袋并销毁", "en": "Take the folder from store 3 and shred it"},
            "days": 5,
        },
        "walker": {
            "kind": "opendsr",
            "entity": "partner_company",
            "label": {"zh": "客服外包商", "en": "Call centre"},
            "opendsr": {"domain": "dsr.partner.example", "path": "/dsr"},
        },
    },
}


@pytest.fixture
def processor(tmp_path: Path) -> Iterator[Processor]:
    """At an address that the portal's processes are started with."""
    conftest._stop_live()
    names = [f"SYSTEM_WALKER_{setting}" for setting in ("URL", "SECRET", "CERTIFICATE")]
    with serve(Processor()) as partner:
        assert isinstance(partner, Processor)
        connect_processor(partner, "walker", set_environment=os.environ.__setitem__, folder=tmp_path)
        yield partner
    conftest._stop_live()
    for name in names:
        del os.environ[name]


@pytest.fixture
def reaching_out(processor: Processor, town: Town, business: Business, stack: Stack) -> Processor:
    with django_as(stack, "owner"):
        store_documents({"governance.yml": yaml.safe_dump(MAP)}, name="partners", now=TODAY)
    return processor


def test_a_deletion_is_asked_of_others_done_by_hand_called_back_and_told(reaching_out: Processor, town: Town) -> None:
    person = town.visitor("song-lihua")
    plan = person.visit("/rights/deletion/plan/").text
    assert "纸质档案" in plan
    assert "客服外包商" in plan

    request_id = town.ask(person, "deletion", {"scope": "everything"})
    town.wait_for(request_id, "review")
    desk = town.visitor("support-zhao")
    town.decide(desk, request_id, {"outcome": "approve", "reason": "OK.PURPOSE_END"})
    wait_until(lambda: bool(reaching_out.requests), seconds=40, what="the processor to be asked")

    # A member of staff does by hand what no machine can.
    tasks = desk.visit("/desk/tasks/")
    task = desk.visit(tasks.link("纸质档案"))
    assert "三号仓库" in task.text
    assert "880" not in task.text  # the number is shown to whoever has the task
    task = desk.send(task, task.form("/claim/"))
    assert town.business.account("song-lihua").login in task.document.text_content()
    desk.send(task, task.form("/done/"), {"count": "1", "note": "档案袋 17 号"})

    page = person.visit(f"/requests/{request_id}/").text
    assert "纸质档案 · 删除已确认" in page
    assert "客服外包商 · 删除还没有答复" in page
    assert town.state(request_id) == "acting"

    # The processor calls back, signed; what somebody else signs is not believed.
    (number,) = reaching_out.requests
    reaching_out.finish(number, "completed")
    url = reaching_out.requests[number]["status_callback_urls"][0]
    reaching_out.mood = "forged"
    assert send(url, *reaching_out.callback(number, url=url)).status_code == 403
    reaching_out.mood = "well"
    assert [send(url, *reaching_out.callback(number, url=url)).status_code for _ in range(2)] == [202, 202]
    town.wait_for(request_id, "closed")
    assert "客服外包商 · 删除已确认" in person.visit(f"/requests/{request_id}/").text
    assert reaching_out.effects == [number]

    # Those who received what went are written to; each is told and confirms on its own date.
    page = person.visit(f"/requests/{request_id}/").text
    assert "将告知" in page
    assert "我们最迟在 11 月 30 日告知" in page
    letter = desk.visit(desk.visit("/desk/tasks/").link("同盾"))
    letter = desk.send(letter, letter.form("/claim/"))
    letter = desk.send(letter, letter.form("/told/"))
    assert "11 月 23 日告知 · 应在 12 月 3 日前答复" in person.visit(f"/requests/{request_id}/").text
    desk.send(letter, letter.form("/done/"), {"note": "回信已存"})
    assert "11 月 23 日告知 · 11 月 23 日确认" in person.visit(f"/requests/{request_id}/").text
    assert town.state(request_id) == "closed"
