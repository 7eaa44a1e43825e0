"""What governance says of those who are asked: read as stated, and each fault by key, reason and remedy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rights.actions.datamap import check_map, compare_with_live, store_documents
from rights.connectors.registry import channel_for
from rights.datamap import Fault, FaultyMap, Text, parse_documents
from rights.datamap.parse import parse_mentioned
from tests.connectors.partners import Processor, connect_processor, serve
from tests.rights.shop import DOCUMENTS, GOVERNANCE, NOW, Shop

MANUAL = {"kind": "manual", "entity": "shop", "instructions": {"zh": "销毁", "en": "Shred it"}}
OPENDSR = {"kind": "opendsr", "entity": "shop", "opendsr": {"domain": "dsr.partner.example", "path": "/dsr"}}
DUIBA = {"name": {"zh": "兑吧", "en": "Duiba"}}


def documents(*, named: list[Any] | None = None, **sections: dict[str, Any]) -> dict[str, str]:
    """The shop's map with more in some sections; `named` are the recipients of the visits."""
    stated = yaml.safe_load(GOVERNANCE)
    for section, more in sections.items():
        stated[section] = {**stated.get(section, {}), **more}
    if named is not None:
        stated["collections"]["shop.visit"]["recipients"] = named
    return {**DOCUMENTS, "governance.yml": yaml.safe_dump(stated)}


def only_fault(stated: dict[str, str]) -> Fault:
    with pytest.raises(FaultyMap) as caught:
        parse_documents(stated)
    (fault,) = caught.value.faults
    return fault


def test_what_is_stated_is_read_and_the_rest_has_its_default() -> None:
    parsed = parse_documents(documents(systems={"archive": MANUAL, "partner": OPENDSR}))
    assert set(parsed.systems) == {"shop"}  # nobody takes the others for databases
    archive, partner = parsed.asked["archive"], parsed.asked["partner"]
    assert (archive.acts, archive.days, archive.kind) == (("erase",), 10, "manual")
    assert partner.identities == {"account_no": "controller_customer_id"}  # as OpenDSR calls it


def test_a_recipient_is_named_by_its_key_or_by_its_name_alone() -> None:
    banks = {"zh": "银行", "en": "Banks"}
    parsed = parse_documents(documents(named=["duiba", banks], recipients={"duiba": {**DUIBA, "kind": "webhook"}}))
    assert parsed.collections["shop.visit"].recipients == (Text("兑吧", "Duiba"), Text("银行", "Banks"))
    duiba, letter = (parsed.recipient(name) for name in parsed.collections["shop.visit"].recipients)
    assert (duiba.key, duiba.kind) == ("duiba", "webhook")
    assert (letter.key, letter.kind) == ("Banks", "manual")


@pytest.mark.parametrize(("act", "channel"), [("erase", "opendsr"), ("correct", "manual"), ("stop", "manual")])
def test_what_opendsr_has_no_word_for_goes_by_letter(act: str, channel: str) -> None:
    stated = {**DUIBA, "kind": "opendsr", "opendsr": {"domain": "dsr.duiba.example"}}
    parsed = parse_documents(documents(named=["duiba"], recipients={"duiba": stated}))
    assert channel_for(parsed.recipients["duiba"], act) == channel


@pytest.mark.parametrize(
    ("stated", "key", "reason", "remedy"),
    [
        pytest.param(
            documents(systems={"archive": {**MANUAL, "kind": "fax"}}),
            "systems.archive.kind", "fax is not a kind of system", "manual", id="unknown kind",
        ),
        pytest.param(
            documents(systems={"archive": {"kind": "manual", "entity": "shop"}}),
            "systems.archive.instructions", "nobody would know", "State instructions", id="no instructions",
        ),
        pytest.param(
            documents(systems={"archive": {**MANUAL, "schema": "shop"}}),
            "systems.archive.schema", "is for a database", "Leave it out", id="a schema of nothing",
        ),
        pytest.param(
            documents(systems={"archive": {**MANUAL, "entity": "nobody"}}),
            "systems.archive.entity", "nobody is not stated", "entities.nobody", id="unknown company",
        ),
        pytest.param(
            documents(systems={"shop": {"schema": "shop", "entity": "shop", "days": 5}}),
            "systems.shop.days", "not for a database", "state kind", id="days of a database",
        ),
        pytest.param(
            documents(systems={"partner": {**OPENDSR, "acts": ["erase", "correct"]}}),
            "systems.partner.acts", "cannot be asked for", "[erase]", id="an act OpenDSR does not know",
        ),
        pytest.param(
            documents(systems={"partner": {"kind": "opendsr", "entity": "shop"}}),
            "systems.partner.opendsr", "no domain", "domain", id="no domain",
        ),
        pytest.param(
            documents(systems={"archive": {**MANUAL, "opendsr": {"domain": "a.example"}}}),
            "systems.archive.opendsr", "the kind is manual", "Leave it out", id="a protocol that is not spoken",
        ),
        pytest.param(
            documents(named=["duibo"], recipients={"duiba": DUIBA}),
            "recipients.duiba", "named by no collection", "recipients: [duiba]", id="a misspelt key",
        ),
        pytest.param(
            documents(named=["duiba"], recipients={"duiba": DUIBA, "other": DUIBA}),
            "recipients.other.name", "recipients.duiba too", "once", id="one name twice",
        ),
        pytest.param(
            documents(named=["shop"], recipients={"shop": DUIBA}),
            "recipients.shop", "key of a system too", "another key", id="one address for two",
        ),
        pytest.param(
            documents(named=["duiba"], recipients={"duiba": {**DUIBA, "days": 0}}),
            "recipients.duiba.days", "0 is not a number of days", "10", id="no day to answer",
        ),
    ],
)  # fmt: skip
def test_a_fault_names_key_reason_and_remedy(stated: dict[str, str], key: str, reason: str, remedy: str) -> None:
    fault = only_fault(stated)
    assert (fault.file, fault.key) == ("governance.yml", key)
    assert reason in fault.reason
    assert remedy in fault.remedy
    assert fault.line > 0


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processor]:
    with serve(Processor()) as partner:
        assert isinstance(partner, Processor)
        connect_processor(partner, "partner", set_environment=monkeypatch.setenv, folder=tmp_path)
        yield partner


@pytest.mark.role("owner")
def test_a_partner_that_cannot_be_asked_is_warned_of(
    shop: Shop, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed, mentioned = parse_mentioned(documents(systems={"partner": OPENDSR, "archive": MANUAL}))

    def found() -> list[tuple[str, str]]:
        said = check_map(parsed, mentioned).findings
        return [(finding.severity, finding.reason) for finding in said if finding.key == "systems.partner"]

    assert found() == []
    processor.mood = "broken"
    assert found() == [("warning", "It answered 500.")]
    monkeypatch.delenv("SYSTEM_PARTNER_URL")
    ((severity, reason),) = found()
    assert severity == "warning"
    assert "SYSTEM_PARTNER_URL" in reason


@pytest.mark.role("owner")
def test_another_way_of_telling_is_a_change_that_is_shown(shop: Shop) -> None:
    store_documents(documents(named=["duiba"], recipients={"duiba": DUIBA}), name="shop", now=NOW)
    changed = parse_documents(documents(named=["duiba"], recipients={"duiba": {**DUIBA, "days": 30}}))
    assert [str(change) for change in compare_with_live(changed, name="shop") or ()] == [
        "recipients.duiba: days: 10 → 30"
    ]
