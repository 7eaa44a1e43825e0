"""Loading the whole demo: the business systems with their people, the data map, the sign-ins. Each step can be
repeated, so a load that was killed is finished by the next one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.contrib.auth.hashers import make_password
from django.db import transaction

from accounts.authority import grant_authority
from accounts.identities import set_identity
from accounts.models import Authority, TotpDevice, User
from accounts.totp import enrol
from portal.demo.accounts import AUTHORITIES, DEMO_ACCOUNTS, DemoAccount
from portal.demo.systems import Loaded, create_systems, load_systems
from rights.actions.datamap import load_map
from rights.actions.publishing import publish_policy, read_policy
from rights.kernel.clock import local_day

DATAMAP_DIR = Path(__file__).parent / "datamap"
POLICIES_DIR = Path(__file__).parent / "policies"


@dataclass(frozen=True)
class LoadedDemo:
    """What a load did: new sign-ins, whether the map changed, the rows of each system."""

    accounts: int
    map_changed: bool
    systems: tuple[Loaded, ...]

    @property
    def changed(self) -> bool:
        return bool(self.accounts or self.map_changed or any(not system.already for system in self.systems))


def load_demo(*, admin_url: str, prefix: str, data_dir: Path, people: int, now: datetime) -> LoadedDemo:
    """Load what is missing. Raises `DemoError` where the server does not let us."""
    addresses = create_systems(admin_url=admin_url, prefix=prefix, data_dir=data_dir)
    systems = load_systems(addresses=addresses, people=people, today=local_day(now))
    changed = load_map(folder=DATAMAP_DIR, name="demo", now=now)
    for file in sorted(POLICIES_DIR.glob("*.yml")):
        publish_policy(read_policy(file.read_text(encoding="utf-8")), by=None, now=now)
    accounts = load_accounts(now=now)
    return LoadedDemo(accounts=accounts, map_changed=changed, systems=tuple(systems))


def load_accounts(*, now: datetime) -> int:
    """Make the sign-ins that are missing, whole or not at all. Returns how many."""
    with transaction.atomic():
        users = {account.key: User.objects.find_by("account_no", account.login) for account in DEMO_ACCOUNTS}
        missing = [account for account in DEMO_ACCOUNTS if users[account.key] is None]
        # Argon2 takes its time by design; the demo's accounts share one password and may share its hash.
        hashes = {password: make_password(password) for password in {account.password for account in missing}}
        for account in missing:
            users[account.key] = _make_user(account, password=hashes[account.password], now=now)
        made = {key: user for key, user in users.items() if user is not None}
        _grant_authorities(made, now=now)
    return len(missing)


def _make_user(account: DemoAccount, *, password: str, now: datetime) -> User:
    user = User.objects.create_user(
        account_no=account.login,
        password=None,
        display_name=account.name,
        role=account.role,
        phone=account.phone,
        email=account.email,
        language=account.language,
        confidential=account.confidential,
        now=now,
    )
    user.password = password
    user.save(update_fields=["password"])
    for kind, value in account.identities.items():
        set_identity(user=user, kind=kind, value=value, verified_at=now)
    if user.is_staff_role and not TotpDevice.objects.filter(user=user).exists():
        enrol(user=user, now=now)
    return user


def _grant_authorities(users: dict[str, User], *, now: datetime) -> None:
    for stated in AUTHORITIES:
        agent, principal = users[stated.agent], users[stated.principal]
        if Authority.objects.filter(agent=agent, principal=principal).exists():
            continue
        grant_authority(
            agent=agent,
            principal=principal,
            kind=stated.kind,
            scope=stated.scope,
            now=now,
            valid_until=now + timedelta(days=stated.days_valid),
            proof_note=stated.proof_note,
        )
