"""The Valkey server: on loopback with a password, every write in its append-only file."""

import json
import signal
import socket
import subprocess
import time

from portal.embedded.place import EmbeddedError, Place, make_folder, write_private
from portal.embedded.server import (
    RECOVERY_SECONDS,
    START_SECONDS,
    last_words,
    process_in,
    raise_failed,
    read_pid,
    size,
    spawn,
    stop,
)


def valkey_pid(place: Place) -> int | None:
    pid = read_pid(place.broker / "valkey.pid")
    return pid if pid and process_in(pid, name="valkey-server", folder=place.broker) else None


def start_valkey(place: Place, password: str) -> int:
    make_folder(place.broker, place.account, 0o700)
    known = read_pid(place.broker / "port")
    if known and valkey_pid(place) is not None and _valkey_answers(place, known, password, None):
        return known
    log = place.runtime / "valkey.log"
    for attempt in range(5):
        port = _choose_port(known if attempt == 0 else None)
        write_private(place.broker / "port", str(port))
        config = place.broker / "valkey.conf"
        write_private(config, _valkey_settings(place, port, password), place.account)
        since = size(log)
        process = spawn(place, [str(place.valkey), str(config)], log=log)
        if _valkey_answers(place, port, password, process):
            return port
        if "in use" not in last_words(log, since=since):
            raise_failed("The embedded broker", log, since=since)
    raise EmbeddedError("The embedded broker found no free port on 127.0.0.1. Start again, or set REDIS_URL.")


def _valkey_settings(place: Place, port: int, password: str) -> str:
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": json.dumps(str(place.broker), ensure_ascii=False),
        "pidfile": json.dumps(str(place.broker / "valkey.pid"), ensure_ascii=False),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _choose_port(wanted: int | None) -> int:
    """The port of last time, so that whoever outlived the server finds it again; a dying one frees it in a moment."""
    begun = time.monotonic()
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted or 0))
                return int(probe.getsockname()[1])
            except OSError:
                if time.monotonic() - begun > 1:
                    wanted = None
        time.sleep(0.05)


def _valkey_answers(place: Place, port: int, password: str, process: "subprocess.Popen[bytes] | None") -> bool:
    """Ready is when it answers PONG. While it reads its file it answers LOADING, for as long as that takes."""
    begun = time.monotonic()
    while True:
        answer = _ask_valkey(port, password)
        if answer.startswith("+PONG"):
            return True
        if valkey_pid(place) is None and (process is None or process.poll() is not None):
            return False
        if time.monotonic() - begun > (RECOVERY_SECONDS if "LOADING" in answer else START_SECONDS):
            return False
        time.sleep(0.02)


def _ask_valkey(port: int, password: str) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            line.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            said = b""
            while said.count(b"\r\n") < 2:
                part = line.recv(1024)
                if not part:
                    break
                said += part
    except OSError:
        return ""
    return said.decode(errors="replace").split("\r\n", 1)[-1]


def stop_valkey(place: Place) -> None:
    pid = valkey_pid(place)
    if pid:
        stop(pid, how=signal.SIGTERM, seconds=15, name="valkey-server", folder=place.broker)
