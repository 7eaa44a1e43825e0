"""Runs the kernel's unit tests against every mutant of the kernel and prints what became of each, a JSON line each.

`python tests/mutation/runner.py [module …]`. A program of its own: it works in copies, forks a process for each mutant,
and nothing of the product is imported before the fork. The same every time: hypothesis draws the same examples.
"""

import json
import os
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
SECONDS = 60
"""Long enough for the whole suite; a mutant that takes longer does not end."""
SIDE_BY_SIDE = min(2, os.cpu_count() or 1)
LEFT_OUT = {"decisions": ("REASONS",)}
"""Tables of texts for people."""


def main(chosen: list[str]) -> int:
    modules = chosen or sorted(path.stem for path in (ROOT / KERNEL).glob("*.py") if path.stem != "__init__")
    mutants = [
        mutant
        for module in modules
        for mutant in make_mutants(module, _source(module), left_out=LEFT_OUT.get(module, ()))
    ]
    with tempfile.TemporaryDirectory(prefix="kernel-mutants-") as folder:
        slots = [_copy(Path(folder) / str(number)) for number in range(SIDE_BY_SIDE)]
        if _wait({_start(slots[0], None): (slots[0], None)})[2] != "survived":
            sys.stderr.write("The kernel's tests do not pass, or need more than the kernel: nothing was mutated.\n")
            return 1
        for mutant, outcome in _run(mutants, slots):
            sys.stdout.write(json.dumps({"mutant": mutant.name, "outcome": outcome}) + "\n")
            sys.stdout.flush()
    return 0


def _source(module: str) -> str:
    return (ROOT / KERNEL / f"{module}.py").read_text(encoding="utf-8")


def _copy(slot: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    for part in (KERNEL, TESTS):
        shutil.copytree(ROOT / part, slot / part, ignore=ignore)
        (slot / part.parent / "__init__.py").touch()
    (slot / "pytest.ini").write_text("[pytest]\nxfail_strict = true\n", encoding="utf-8")
    return slot


Running = dict[int, tuple[Path, Mutant | None]]


def _run(mutants: list[Mutant], slots: list[Path]) -> Iterator[tuple[Mutant, str]]:
    free, running = list(slots), Running()
    for mutant in mutants:
        if not free:
            slot, done, outcome = _wait(running)
            free.append(slot)
            if done:
                yield done, outcome
        slot = free.pop()
        running[_start(slot, mutant)] = (slot, mutant)
    while running:
        _, done, outcome = _wait(running)
        if done:
            yield done, outcome


def _start(slot: Path, mutant: Mutant | None) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os._exit(_test(slot, mutant))
    finally:
        os._exit(70)


def _wait(running: Running) -> tuple[Path, Mutant | None, str]:
    """The next process that ends: where it ran, its mutant, what became of it."""
    child, status = os.wait()
    slot, mutant = running.pop(child)
    if mutant:
        (slot / KERNEL / f"{mutant.module}.py").write_text(_source(mutant.module), encoding="utf-8")
    if os.WIFSIGNALED(status):
        return slot, mutant, "killed by time" if os.WTERMSIG(status) == signal.SIGALRM else "killed"
    return slot, mutant, "killed" if os.WEXITSTATUS(status) else "survived"


def _test(slot: Path, mutant: Mutant | None) -> int:
    """In the forked process: 0 if all the tests pass."""
    signal.alarm(SECONDS)
    first = []
    if mutant:
        (slot / KERNEL / f"{mutant.module}.py").write_text(mutant.source, encoding="utf-8")
        own = TESTS / f"test_{mutant.module}.py"
        first = [str(own)] if (slot / own).exists() else []
    os.chdir(slot)
    sys.path[0] = str(slot)
    for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", "rights"}]:
        del sys.modules[name]
    with open(os.devnull, "w", encoding="utf-8") as silence:  # noqa: PTH123 - no path of ours
        os.dup2(silence.fileno(), 1)
        os.dup2(silence.fileno(), 2)
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("mutants")
    sys.dont_write_bytecode = True  # a stale compiled file would stand for the next mutant
    plugins = ["-p", "no:cacheprovider", "-p", "no:django", "-p", "no:xdist", "--assert=plain"]
    return int(pytest.main(["-x", "-q", *plugins, *first, str(TESTS)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
