"""The fuzz targets on what was found before, and on some changes of their seeds; ``make fuzz`` runs millions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fuzz.mutate import mutated
from fuzz.targets import TARGETS, Finding, Target, check
from hwnas_surrogate.errors import DataFileError

CORPUS = Path(__file__).resolve().parents[1] / "fuzz" / "corpus"
FOUND = sorted(path.relative_to(CORPUS) for path in CORPUS.glob("*/*"))
TIMES = 60
"""Changed inputs of each target."""


@pytest.mark.parametrize("path", FOUND, ids=str)
def test_what_was_found_is_read_or_refused(path: Path) -> None:
    target = TARGETS[path.parent.name]
    target.seeds()  # fits the models: not counted
    check(target, (CORPUS / path).read_bytes())


@pytest.mark.parametrize("reader", TARGETS)
def test_changed_inputs_are_read_or_refused(reader: str) -> None:
    target, rng = TARGETS[reader], np.random.default_rng(0)
    seeds = target.seeds()
    accepted = [check(target, data) for data in seeds]
    assert any(accepted), "a target whose every seed is refused tests nothing"
    for number in range(TIMES):
        accepted.append(check(target, mutated(seeds[number % len(seeds)], seeds, rng)))
    assert not all(accepted)


def test_every_folder_of_findings_is_of_a_target() -> None:
    assert {path.name for path in CORPUS.glob("*")} <= TARGETS.keys()


@pytest.mark.parametrize("limit", ["MOST_MEMORY", "MOST_SECONDS"])
def test_a_target_that_takes_too_much_or_fails_otherwise_is_noticed(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(data: bytes) -> None:
        raise DataFileError("no.")

    def fail(data: bytes) -> None:
        raise KeyError(data)

    assert not check(Target(refuse, list), b"")
    with pytest.raises(KeyError):
        check(Target(fail, list), b"")
    monkeypatch.setattr(f"fuzz.targets.{limit}", -1)
    with pytest.raises(Finding, match=r"3 bytes took \d+ MB of memory"):
        check(Target(len, list), b"abc")
