"""The few numbers that describe a device."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.devices import device_atlas, nearest_devices
from hwnas_surrogate.devices.atlas import NUMBERS
from hwnas_surrogate.errors import InvalidInputError, NotInTableError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.spaces import get_space

PER_GMAC, PER_CALL = 20.0, 0.05


def costs_in(space: str, names: list[str]) -> CostTable:
    """Return costs of two devices: one computes, the other is slow to start layers."""
    archs = get_space(space).sample(80, 0)
    layers = LayerPhysics(space, ["all"]).frame(archs)
    macs, calls = layers["physics_all:macs"].to_numpy(), layers["physics_all:layers"].to_numpy()
    depthwise = layers["physics_all:macs_depthwise"].to_numpy()
    costs = [PER_GMAC * (macs + depthwise) / 1e9 + 1e-4 * PER_CALL * calls, PER_CALL * calls + 1e-4 * macs / 1e9]
    return CostTable(space, archs, np.column_stack(costs), [f"{name}/latency" for name in names])


@pytest.fixture(scope="module")
def atlas() -> pd.DataFrame:
    tables = [costs_in("nasbench201", ["cpu", "gpu"]), costs_in("fbnet", ["cpu2", "gpu2"])]
    return device_atlas(tables, random_state=0)


def test_devices_of_two_spaces_are_comparable(atlas: pd.DataFrame) -> None:
    rows = atlas.set_index("target")
    assert (atlas[list(NUMBERS)].to_numpy() >= 0).all()
    for name in ("gpu/latency", "gpu2/latency"):
        assert rows.loc[name, "per_call"] == pytest.approx(PER_CALL, rel=0.35)
        assert rows.loc[name, "per_gmac"] < PER_GMAC / 20
    for name in ("cpu/latency", "cpu2/latency"):
        assert rows.loc[name, "per_gmac"] == pytest.approx(PER_GMAC, rel=0.35)
    assert set(atlas["unit"]) == {"ms"}


def test_the_nearest_device_is_the_one_of_its_kind_in_the_other_space(atlas: pd.DataFrame) -> None:
    for name, kin in (("cpu/latency", "cpu2/latency"), ("gpu2", "gpu/latency")):
        near = nearest_devices(atlas, name)
        assert near["distance"].is_monotonic_increasing
        assert near["distance"][0] == 0
        assert near["target"][1] == kin


def test_bad_input(atlas: pd.DataFrame) -> None:
    with pytest.raises(NotInTableError):
        nearest_devices(atlas, "tpu/latency")
    with pytest.raises(InvalidInputError, match="one device at least"):
        device_atlas(None)
    archs = list(range(5))
    with pytest.raises(InvalidInputError, match="cpu/latency has no layer physics"):
        device_atlas(CostTable("nasbench201", archs, np.ones((5, 1)), ["cpu/latency"]))
    with pytest.raises(InvalidInputError, match=r"cpu/peak_memory has no layer physics.*no sums over layers"):
        device_atlas(CostTable("nasbench201", archs, np.arange(1.0, 6)[:, None], ["cpu/peak_memory"]))
