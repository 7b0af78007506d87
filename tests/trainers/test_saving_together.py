"""Several processes that save to one folder, and load from it meanwhile: nothing is lost, nothing fails."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate import Surrogate, SurrogateSuite, get_space
from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.trainers import saving

SPACE = get_space("nasbench201")
ARCHS = SPACE.sample(30, 0)
SAVES = 12

SAVES_OFTEN = """
import sys
from hwnas_surrogate import Surrogate
surrogate = Surrogate.load(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    surrogate.save(sys.argv[2])
"""


@pytest.fixture
def two(tmp_path: Path) -> dict[str, Surrogate]:
    """Return two surrogates that predict different costs, saved under their names."""
    made = {}
    for number, name in enumerate(["first", "second"]):
        made[name] = Surrogate(model="ridge", calibrate=False).fit(ARCHS, np.arange(30.0) + 1 + 100 * number)
        made[name].save(tmp_path / name)
    return made


def test_two_that_save_and_one_that_loads(two: dict[str, Surrogate], tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    two["first"].save(folder)
    expected = {surrogate.predict(ARCHS).tobytes() for surrogate in two.values()}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SAVES_OFTEN, str(tmp_path / name), str(folder), str(SAVES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in two
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    loaded = 0
    while any(child.poll() is None for child in children):
        assert Surrogate.load(folder).predict(ARCHS).tobytes() in expected
        loaded += 1
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    assert loaded > 0
    assert Surrogate.load(folder).predict(ARCHS).tobytes() in expected
    assert len(list(folder.iterdir())) == 2  # the manifest and the weights that it names


def test_what_is_saved_while_it_is_read_is_read_again(
    two: dict[str, Surrogate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks, as on some network file systems."""
    folder = two["first"].save(tmp_path / "shared")
    read, calls = saving.read_weights, []

    def read_late(said: dict[str, str], where: Path) -> bytes:
        if not calls:
            calls.append(said)
            monkeypatch.setattr("hwnas_surrogate.trainers.folders.locked", saving.locked)
            two["second"].save(folder)
        return read(said, where)

    monkeypatch.setattr(saving, "locked", lambda *_, **__: nullcontext())
    monkeypatch.setattr(saving, "read_weights", read_late)
    assert Surrogate.load(folder).predict(ARCHS).tobytes() == two["second"].predict(ARCHS).tobytes()
    assert len(calls) == 1


def test_a_damaged_folder_is_not_read_for_ever(two: dict[str, Surrogate], tmp_path: Path) -> None:
    folder = two["first"].save(tmp_path / "shared")
    (weights,) = (path for path in folder.iterdir() if path.suffix == ".safetensors")
    weights.unlink()
    with pytest.raises(SavedFormatError, match="can't be read"):
        Surrogate.load(folder)
    with pytest.raises(SavedFormatError, match="holds a Surrogate, not a SurrogateSuite"):
        SurrogateSuite.load(folder)
