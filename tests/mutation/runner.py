"""Runs the kernel's unit tests against every mutant of the kernel and prints what became of each, a JSON line each.

`python tests/mutation/runner.py [module …]`. A program of its own: it works in copies, and forks a process for each
mutant once it has run the tests on the kernel as it is, so that all they need is in memory but the kernel itself.
The same every time: hypothesis draws the same examples.
"""

import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.mutation.mutants import Mutant, make_mutants  # noqa: E402 - where it lies is known now

KERNEL = Path("rights/kernel")
TESTS = Path("tests/kernel")
PATIENCE = 2
"""A mutant that takes so many times as long as the kernel as it is does not end."""
MEMORY = 2 << 30
"""Bytes; a mutant that asks for more never stops collecting."""
OUTCOMES = {0: "survived", 1: "killed", -signal.SIGXCPU: "killed by time"}
"""By the exit code of a mutant's process, negative where a signal ended it."""
SIDE_BY_SIDE = min(2, os.cpu_count() or 1)


def main(chosen: list[str]) -> int:
    sources = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / KERNEL).glob("*.py"))}
    mutants = [mutant for module in chosen or sources for mutant in make_mutants(module, sources[module])]
    with tempfile.TemporaryDirectory(prefix="kernel-mutants-") as folder:
        slots = [_copy(Path(folder) / str(number)) for number in range(SIDE_BY_SIDE)]
        _settle()
        before = _seconds_used()
        if not _pass(slots[0], TESTS):
            sys.stderr.write("The kernel's tests do not pass, or need more than the kernel: nothing was mutated.\n")
            return 1
        seconds = math.ceil(PATIENCE * (_seconds_used() - before))
        for mutant, outcome in _run(mutants, slots, sources, seconds=seconds):
            sys.stdout.write(json.dumps({"mutant": mutant.name, "outcome": outcome}) + "\n")
            sys.stdout.flush()
    return 0


def _copy(slot: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    for part in (KERNEL, TESTS):
        shutil.copytree(ROOT / part, slot / part, ignore=ignore)
        (slot / part.parent / "__init__.py").touch()
    (slot / "pytest.ini").write_text("[pytest]\nxfail_strict = true\n", encoding="utf-8")
    return slot


Running = dict[int, tuple[Path, Mutant]]


def _run(
    mutants: list[Mutant], slots: list[Path], sources: dict[str, str], *, seconds: int
) -> Iterator[tuple[Mutant, str]]:
    free, running = list(slots), Running()
    for mutant in mutants:
        if not free:
            slot, done, outcome = _wait(running, sources)
            free.append(slot)
            yield done, outcome
        slot = free.pop()
        running[_start(slot, mutant, seconds=seconds)] = (slot, mutant)
    while running:
        _, done, outcome = _wait(running, sources)
        yield done, outcome


def _start(slot: Path, mutant: Mutant, *, seconds: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        # Of processor time, so that a busy machine makes nothing look endless.
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform == "linux":  # elsewhere it cannot be relied on
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        _place(slot, mutant.module, mutant.source)
        own = TESTS / f"test_{mutant.module}.py"
        # Most mutants fall to their module's own tests; the others are collected only where they do not.
        first = [own] if (slot / own).exists() else []
        os._exit(0 if all(_pass(slot, tests) for tests in (*first, TESTS)) else 1)
    finally:
        os._exit(70)


def _wait(running: Running, sources: dict[str, str]) -> tuple[Path, Mutant, str]:
    """The next process that ends: where it ran, its mutant, what became of it.

    Raises RuntimeError where it ended in another way than by its tests or its time: that would be no proof of anything.
    """
    child, status = os.wait()
    slot, mutant = running.pop(child)
    _place(slot, mutant.module, sources[mutant.module])
    outcome = OUTCOMES.get(os.waitstatus_to_exitcode(status))
    if outcome is None:
        raise RuntimeError(f"{mutant.name}: its process ended with status {status}.")
    return slot, mutant, outcome


def _place(slot: Path, module: str, source: str) -> None:
    (slot / KERNEL / f"{module}.py").write_text(source, encoding="utf-8")


def _settle() -> None:
    """What holds for every run of the tests."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # none is needed, and Django's would look for settings
    sys.dont_write_bytecode = True  # a stale compiled file would stand for the next mutant
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("mutants")


def _pass(slot: Path, tests: Path) -> bool:
    """Whether all the tests pass, on what lies in the slot now."""
    os.chdir(slot)
    sys.path[0] = str(slot)
    for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", "rights"}]:
        del sys.modules[name]
    said = [os.dup(1), os.dup(2)]
    with open(os.devnull, "w", encoding="utf-8") as silence:  # noqa: PTH123 - no path of ours
        os.dup2(silence.fileno(), 1)
        os.dup2(silence.fileno(), 2)
    try:
        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", str(tests)]) == pytest.ExitCode.OK
    finally:
        for number, before in enumerate(said, start=1):
            os.dup2(before, number)
            os.close(before)


def _seconds_used() -> float:
    """Of processor time, by this process and not by those it forked."""
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
