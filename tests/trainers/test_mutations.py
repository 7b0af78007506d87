"""Weights changed at random, with right hashes, are refused or predict finite numbers: nothing crashes or hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TIMES = 100
"""Of each of three kinds of trees as arrays; a fifth of each of three kinds of scikit-learn's."""


def test_changed_weights_are_refused_or_predict_numbers() -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.trainers.mutations", str(TIMES), "0"]
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=root)
    assert ran.returncode == 0, f"{ran.returncode}: {ran.stderr}"
    counts = json.loads(ran.stdout)
    assert sum(counts.values()) == 3 * TIMES + 3 * (TIMES // 5)
    assert counts["refused"] > 150
    assert counts["finite"] > 50


FOLDERS = 2
"""Changed folders of each kind of surrogate and suite."""


def test_changed_folders_are_refused_or_predict_numbers() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.trainers.folder_mutations", str(FOLDERS), "0"]
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=root)
    assert (ran.returncode, ran.stderr) == (0, "")
    counts = json.loads(ran.stdout)
    assert {kind: sum(of_kind.values()) for kind, of_kind in counts.items()} == dict.fromkeys(counts, FOLDERS)
    assert len(counts) == 19
    assert sum(of_kind.get("finite", 0) for of_kind in counts.values()) > FOLDERS
