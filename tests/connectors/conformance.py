"""What everything that is asked has to keep to, whatever its protocol: the suite that a new one passes.

A kind is added to `KINDS` with a way to build its case: a party of the data map, a partner that plays the other side (a
real server, see `partners`; None where no machine answers) and what the kind can do. `test_conformance.py` holds
every kind to every claim about what it can do.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from portal.core.clock import SHANGHAI
from rights.connectors.base import Ask, Partner
from rights.connectors.registry import reach
from rights.datamap import Party, Text
from tests.connectors import partners
from tests.connectors.partners import Hook, Processor, SetEnvironment

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=SHANGHAI)
NUMBER = "19900000001"  # the person's; it may stand in a request and nowhere else

MACHINE = "machine"
"""A machine answers."""
LOOKS = "looks"
"""It can be asked how far it is."""
CALLS = "calls"
"""It says so of its own accord."""
DROPS = "drops"
"""What it has not begun can be taken back."""
SIGNS = "signs"
"""It signs what it answers, not only what it calls back."""


@dataclass
class Case:
    """One kind with the other side: what the claims are made of."""

    party: Party
    other: partners.Partner | None = None

    @property
    def partner(self) -> Partner:
        return reach(self.party, channel=self.party.kind)

    def ask(self, *, number: UUID | None = None, again: bool = False, status_url: str = "") -> Ask:
        return Ask(
            id=number or uuid4(),
            act="erase",
            reference="DSR-261123-7K4QX",
            identities={"phone": NUMBER},
            asked_at=NOW,
            due_on=(NOW + timedelta(days=10)).date(),
            callback_url=self.callback_url,
            again=again,
            status_url=status_url,
        )

    @property
    def callback_url(self) -> str:
        return f"https://privacy.example/api/v1/callbacks/{self.party.key}/"

    def callback(self, ask: Ask, *, at: datetime = NOW) -> tuple[dict[str, str], bytes]:
        """What the other side would send of this request now."""
        if isinstance(self.other, Processor):
            return self.other.callback(str(ask.id), url=ask.callback_url)
        assert isinstance(self.other, Hook)
        return self.other.callback(str(ask.id), at=at)


@dataclass(frozen=True)
class Kind:
    """How the case of a kind is built, from a folder for key files and a way to set the environment; what it can do."""

    name: str
    build: Callable[[ExitStack, Path, SetEnvironment], Case]
    can: frozenset[str] = frozenset()


def _opendsr(version: str, way: str) -> Kind:
    def build(exits: ExitStack, folder: Path, set_environment: SetEnvironment) -> Case:
        processor = Processor(version=version, way=way, key=partners.make_key(way), other_key=partners.make_key(way))
        exits.enter_context(partners.serve(processor))
        partners.connect_processor(processor, "partner", set_environment=set_environment, folder=folder)
        options = {"version": version, "signature": way, "path": processor.prefix, "domain": processor.domain}
        party = Party("partner", Text("外包商", "Contractor"), kind="opendsr", options=options)
        return Case(party, processor)

    return Kind(f"opendsr {version} {way}", build, frozenset({MACHINE, LOOKS, CALLS, DROPS, SIGNS}))


def _webhook(key: str, later: str) -> Kind:
    def build(exits: ExitStack, folder: Path, set_environment: SetEnvironment) -> Case:
        hook = Hook(later=later, ours=Ed25519PrivateKey.generate() if key == "ed25519" else None)
        exits.enter_context(partners.serve(hook))
        partners.connect_hook(hook, "partner", set_environment=set_environment)
        party = Party("partner", Text("钩子", "Hook"), kind="webhook")
        return Case(party, hook)

    abilities = {"": set(), "asked": {LOOKS, CALLS}, "called": {CALLS}}[later]
    return Kind(f"webhook {key} {later or 'at once'}", build, frozenset({MACHINE, *abilities}))


def _manual(exits: ExitStack, folder: Path, set_environment: SetEnvironment) -> Case:
    return Case(Party("archive", Text("档案", "Archive")))


KINDS = (
    _opendsr("2.0", "rsa-pkcs1"),
    _opendsr("2.0", "rsa-pss"),
    _opendsr("2.0", "ecdsa"),
    _opendsr("1.0", "rsa-pkcs1"),
    _webhook("hmac", ""),
    _webhook("hmac", "asked"),
    _webhook("ed25519", "called"),
    Kind("manual", _manual),
)


@contextmanager
def open_case(kind: Kind, *, folder: Path, set_environment: SetEnvironment) -> Iterator[Case]:
    with ExitStack() as exits:
        yield kind.build(exits, folder, set_environment)
