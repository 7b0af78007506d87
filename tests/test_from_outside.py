"""A metric, a model, an encoding and a search space, each added by another package: nothing of this one is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate import Surrogate, SurrogateSuite, get_space, load_table
from hwnas_surrogate.checks import check_encoder, check_model, check_space
from hwnas_surrogate.columns import Column
from hwnas_surrogate.data import METRICS, CostTable, Metric, register_metric, write_parquet
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.features import Encoder, make_encoder, register_encoder
from hwnas_surrogate.features.encoder import Features
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.models import CostModel, make_model, register_model
from hwnas_surrogate.spaces import register_space
from tests.spaces.toy import ToySpace

SPACE = get_space("nasbench201")
ARCHS = SPACE.sample(150, 4)


pytestmark = pytest.mark.usefixtures("registers")


# -- a metric ----------------------------------------------------------------------------------------------

CARBON = Metric("carbon", "mg", "carbon dioxide of one execution", {"mg": 1.0, "ug": 1e-3, "gCO2": 1e3})
"""A mass of carbon dioxide: adds up as energy does."""
FRESHNESS = Metric(
    "freshness", "Hz", "results per second", {"Hz": 1.0, "kHz": 1e3}, larger_is_better=True, cost="reciprocal"
)


@pytest.fixture
def carbon() -> Metric:
    return register_metric(CARBON)


def test_a_metric_in_files_tables_and_surrogates(carbon: Metric, tmp_path: Path) -> None:
    mass = SPACE.batch(ARCHS).macs / 1e6 + 2
    lines = [f"{text},{cost / 1e3!r}" for text, cost in zip(SPACE.format_all(ARCHS), mass.tolist(), strict=True)]
    (tmp_path / "meter.csv").write_text("arch_str,phone carbon (gCO2)\n" + "\n".join(lines) + "\n")
    table = load_table(tmp_path / "meter.csv")
    assert isinstance(table, CostTable)
    assert [str(one) for one in table.targets] == ["phone/carbon"]
    np.testing.assert_allclose(table.costs[:, 0], mass)
    write_parquet(table, tmp_path / "meter.parquet")
    suite = SurrogateSuite("nasbench201").fit_table(load_table(tmp_path / "meter.parquet").rows(range(60)))  # type: ignore[union-attr]
    suite.save(tmp_path / "saved")
    predicted = SurrogateSuite.load(tmp_path / "saved").predict(ARCHS[60:])
    np.testing.assert_allclose(predicted.iloc[:, 0], mass[60:], rtol=0.02)


def test_a_metric_of_which_more_is_better() -> None:
    register_metric(FRESHNESS)
    rates = 1e9 / (SPACE.batch(ARCHS).macs + 2e7)
    fitted = Surrogate(metric="freshness").fit(ARCHS[:60], rates[:60])
    low, high = fitted.predict_interval(ARCHS[60:], coverage=0.9).T
    assert ((low <= rates[60:]) & (rates[60:] <= high)).mean() > 0.8


def test_two_metrics_of_one_name_are_refused(carbon: Metric) -> None:
    assert register_metric(CARBON) is CARBON
    with pytest.raises(InvalidInputError, match="there is a metric 'carbon' already"):
        register_metric(Metric("carbon", "g", "another", {"g": 1.0}))
    with pytest.raises(InvalidInputError, match="register_metric takes a Metric"):
        register_metric("carbon")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Carbon"}, "a metric's name is lower-case words"),
        ({"name": "a/b"}, "a metric's name is lower-case words"),
        ({"units": {"g": 1.0}}, "must hold its own unit, 'mg', as 1"),
        ({"units": {"mg": 2.0}}, "must hold its own unit, 'mg', as 1"),
        ({"adds": "median"}, "unknown adds of carbon"),
        ({"cost": "square"}, "unknown cost of carbon"),
        ({"larger_is_better": True}, "must be 'reciprocal' or 'shortfall'"),
        ({"cost": "reciprocal"}, "must be 'value'"),
        ({"cost": "shortfall", "larger_is_better": True}, "the limit of carbon must be a number above 0"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    given = {"name": "carbon", "unit": "mg", "title": "carbon", "units": {"mg": 1.0}} | fields
    with pytest.raises(InvalidInputError, match=said):
        Metric(**given)


def test_no_metric_is_left_over() -> None:
    assert "carbon" not in METRICS


# -- a model -----------------------------------------------------------------------------------------------


class PerParameter(CostModel):
    """A price for each parameter, and one for the rest."""

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        values, costs, columns = self._checked(X, y)
        self.place_ = columns.names.index("layers_all:params")
        self.slope_, self.rest_ = np.polyfit(values[:, self.place_], costs, 1)
        self.sd_ = float((costs - self.slope_ * values[:, self.place_] - self.rest_).std())
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.asarray(self._values(X)[:, self.place_] * self.slope_ + self.rest_)

    def to_arrays(self) -> dict[str, Any]:
        return {"place": np.array([self.place_]), "line": np.array([self.slope_, self.rest_, self.sd_])}

    def from_arrays(self, arrays: dict[str, Any], feature_names: Any) -> Self:
        self.place_ = int(arrays["place"][0])
        self.slope_, self.rest_, self.sd_ = map(float, arrays["line"])
        self._columns_are(feature_names)
        return self


def test_a_model_is_used_by_name_and_saved(tmp_path: Path) -> None:
    check_model(PerParameter())
    costs = SPACE.batch(ARCHS).params / 1e4 + 5
    fitted = Surrogate(encoder="layers", model=PerParameter()).fit(ARCHS[:50], costs[:50])
    with pytest.raises(SavedFormatError, match="a PerParameter can't be saved: a model of your own must be registered"):
        fitted.save(tmp_path / "saved")
    register_model("per_parameter", PerParameter)
    assert isinstance(make_model("per_parameter"), PerParameter)
    Surrogate(encoder="layers", model="per_parameter").fit(ARCHS[:50], costs[:50]).save(tmp_path / "saved")
    loaded = Surrogate.load(tmp_path / "saved")
    np.testing.assert_allclose(loaded.predict(ARCHS[50:]), costs[50:], rtol=1e-6)
    low, high = loaded.predict_interval(ARCHS[50:]).T
    assert (low <= high).all()


def test_a_models_name_is_not_taken_twice() -> None:
    register_model("per_parameter", PerParameter)
    register_model("per_parameter", PerParameter)
    with pytest.raises(InvalidInputError, match="there is a model 'ridge' already"):
        register_model("ridge", PerParameter)
    with pytest.raises(InvalidInputError, match="there is a model 'default' already"):
        register_model("default", PerParameter)
    with pytest.raises(InvalidInputError, match="register_model takes a subclass of CostModel"):
        register_model("other", dict)  # type: ignore[type-var, arg-type]


# -- an encoding -------------------------------------------------------------------------------------------


class Sizes(Encoder):
    """How large a network is, in two numbers."""

    def _columns(self) -> list[Column]:
        return [Column("sizes", "params"), Column("sizes", "macs")]

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        out[:] = np.column_stack([batch.params, batch.macs])


def test_an_encoding_is_used_by_name_and_saved(tmp_path: Path) -> None:
    check_encoder(Sizes())
    check_encoder(Sizes(None))
    costs = SPACE.batch(ARCHS).macs / 1e6 + SPACE.batch(ARCHS).params / 1e4 + 5
    fitted = Surrogate(encoder=Sizes(), model="ridge").fit(ARCHS[:50], costs[:50])
    with pytest.raises(SavedFormatError, match="can't be saved unless it is registered"):
        fitted.save(tmp_path / "saved")
    register_encoder("sizes", Sizes)
    assert isinstance(make_encoder("sizes", "fbnet"), Sizes)
    Surrogate(encoder="sizes", model="ridge").fit(ARCHS[:50], costs[:50]).save(tmp_path / "saved")
    np.testing.assert_allclose(Surrogate.load(tmp_path / "saved").predict(ARCHS[50:]), costs[50:], rtol=1e-3)


def test_an_encoders_name_is_not_taken_twice() -> None:
    register_encoder("sizes", Sizes)
    register_encoder("sizes", Sizes)
    with pytest.raises(InvalidInputError, match="there is an encoder 'onehot' already"):
        register_encoder("onehot", Sizes)
    other = type("OneHot", (Sizes,), {})
    with pytest.raises(InvalidInputError, match="there is an encoder OneHot already"):
        register_encoder("another", other)
    with pytest.raises(InvalidInputError, match="register_encoder takes a subclass of Encoder"):
        register_encoder("other", dict)  # type: ignore[arg-type]


# -- a search space ----------------------------------------------------------------------------------------


def test_a_space_is_used_by_name_and_saved(tmp_path: Path) -> None:
    check_space(ToySpace(), 2)
    register_space(ToySpace)
    space = get_space("toy")
    archs = space.sample(80, 0)
    costs = space.batch(archs).macs / 1e6 + 1
    Surrogate("toy").fit(archs[:40], costs[:40]).save(tmp_path / "saved")
    np.testing.assert_allclose(Surrogate.load(tmp_path / "saved").predict(archs[40:]), costs[40:], rtol=0.02)
