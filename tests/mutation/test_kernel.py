"""The kernel's tests notice nearly every small mistake in it, and each that they do not notice has its reason."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.mutation.mutants import make_mutants

HERE = Path(__file__).parent
SURVIVORS = HERE / "survivors.toml"


@pytest.mark.slow
def test_the_kernels_tests_kill_nine_mutants_of_ten_and_the_others_are_known() -> None:
    listed = {
        entry["mutant"]: entry["reason"] for entry in tomllib.loads(SURVIVORS.read_text("utf-8")).get("survivor", [])
    }
    ran = subprocess.run([sys.executable, str(HERE / "runner.py")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    survived = {entry["mutant"] for entry in found if entry["outcome"] == "survived"}
    killed = 1 - len(survived) / len(found)
    assert len(found) > 500, "hardly anything was mutated"
    assert sorted(survived - set(listed)) == [], f"not listed in {SURVIVORS.name}; {killed:.1%} killed"
    assert sorted(set(listed) - survived) == [], f"listed in {SURVIVORS.name}, and killed or gone"
    assert all(listed.values())
    assert killed >= 0.9


def test_each_kind_of_mistake_is_made_once_and_nothing_else_is_touched() -> None:
    source = (
        "LIMIT: int | None = 15\n"
        "TEXTS = {'a': one, 'b': two}\n"
        "@dataclass(frozen=True)\n"
        "class Rule:\n"
        '    """A rule of 5."""\n'
        "    def ends(self, day: date) -> bool | None:\n"
        "        if day and self.open:\n"
        "            return day - 1 < min(day, LIMIT)\n"
        "        if self.closed:\n"
        "            return not day\n"
        "        self.seen.add((day, other))\n"
        "        raise ValueError('no day')\n"
    )
    assert [mutant.name for mutant in make_mutants("rules", source)] == [
        "rules.LIMIT: 15 -> 16",
        "rules.LIMIT: 15 -> 14",
        "rules.TEXTS: without 'a'",
        "rules.TEXTS: without 'b'",
        "rules.Rule.ends: day and self.open -> day or self.open",
        "rules.Rule.ends: return day - 1 < min(day, LIMIT) -> return None",
        "rules.Rule.ends: day - 1 < min(day, LIMIT) -> day - 1 <= min(day, LIMIT)",
        "rules.Rule.ends: day - 1 < min(day, LIMIT) -> day - 1 >= min(day, LIMIT)",
        "rules.Rule.ends: day - 1 -> day + 1",
        "rules.Rule.ends: 1 -> 2",
        "rules.Rule.ends: 1 -> 0",
        "rules.Rule.ends: min -> max",
        "rules.Rule.ends: if self.closed: -> if not self.closed:",
        "rules.Rule.ends: return not day -> return None",
        "rules.Rule.ends: not day -> day",
        "rules.Rule.ends: self.seen.add((day, other)) -> pass",
        "rules.Rule.ends: without day",
        "rules.Rule.ends: without other",
        "rules.Rule.ends: raise ValueError('no day') -> pass",
    ]
