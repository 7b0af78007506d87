"""The laws that anybody's space, encoder and model are checked with: who keeps them passes, who breaks one is told."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.checks import check_encoder, check_model, check_space
from hwnas_surrogate.columns import Column
from hwnas_surrogate.errors import ContractError
from hwnas_surrogate.features import Encoder, LayerPhysics, LayerSums, OneHot
from hwnas_surrogate.features.encoder import Features
from hwnas_surrogate.graphs import NetworkBatch, View
from hwnas_surrogate.models import CostModel, LeaveOneOutRidge, PhysicsGP
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, OpTable, RandomState, SearchSpace, get_space
from tests.spaces.toy import GraphsOnly, ToySpace, table

# -- who keeps the laws ------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [ToySpace(), GraphsOnly(), get_space("nasbench201"), get_space("fbnet")], ids=str)
def test_spaces_pass(space: SearchSpace) -> None:
    check_space(space, 2)


@pytest.mark.parametrize("encoder", [OneHot("fbnet"), LayerSums(None), LayerPhysics("natsbench-size")], ids=str)
def test_encoders_pass(encoder: Encoder) -> None:
    check_encoder(encoder)


@pytest.mark.parametrize("model", [LeaveOneOutRidge(), PhysicsGP()], ids=str)
def test_models_pass(model: CostModel) -> None:
    check_model(model)


# -- who breaks one ----------------------------------------------------------------------------------------


class WrongTable(ToySpace):
    def op_table(self, config: NetworkConfig, view: View) -> OpTable | None:
        right = table(config, view)  # type: ignore[arg-type]
        return right if view != "fused" else OpTable.build(Counter(), [[Counter()] * 4] * 6)


class OtherText(ToySpace):
    def format_all(self, archs: Archs) -> list[str]:
        return [text[::-1].replace("w", "", 1) for text in super().format_all(archs)]


class Restless(ToySpace):
    def sample(self, n: int, random_state: RandomState = None) -> Any:
        return super().sample(n, None)


class OneNetwork(ToySpace):
    def graph(self, arch: Archs, config: ConfigLike = None) -> Any:
        return super().graph([0] * 6, config)


class Credulous(ToySpace):
    def parse(self, text: str) -> Any:
        return super().parse(text) if "w" in text else np.zeros(6, np.int8)


class OtherNetwork(ToySpace):
    def build(self, ops: Any, config: NetworkConfig) -> Any:
        from torch import nn

        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


@pytest.mark.parametrize(
    ("space", "law"),
    [
        (WrongTable(), "view 'fused': op_table counts 0 times"),
        (OtherText(), "parse must read what format_all gives"),
        (Restless(), "the same seed must give the same sample"),
        (OneNetwork(), "graphs must differ where architectures do"),
        (Credulous(), r"parse\(''\) must raise InvalidArchitectureError"),
        (OtherNetwork(), "must have the macs of its graph"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_space_that_breaks_a_law_is_told(space: SearchSpace, law: str) -> None:
    with pytest.raises(ContractError, match=law):
        check_space(space, 3)


class Ranks(Encoder):
    """Depends on the sample: a row's place among the others."""

    def _columns(self) -> list[Column]:
        return [Column("ranks", "macs")]

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        out[:, 0] = batch.macs.argsort().argsort()


class Infinite(Ranks):
    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        out[:] = np.inf


class NoGroup(Ranks):
    def _columns(self) -> list[Column]:
        return [Column("macs", "")]


@pytest.mark.parametrize(
    ("encoder", "law"),
    [
        (Ranks(), "a network alone must have its columns in a batch"),
        (Infinite(), "columns must be finite"),
        (NoGroup(), "columns must read group:feature"),
    ],
    ids=str,
)
def test_an_encoder_that_breaks_a_law_is_told(encoder: Encoder, law: str) -> None:
    with pytest.raises(ContractError, match=law):
        check_encoder(encoder)


class Mean(CostModel):
    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        _, costs, _ = self._checked(X, y)
        self.mean_, self.sd_ = float(costs.mean()), float(costs.std())
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.full(len(self._values(X)), self.mean_)


class Vandal(Mean):
    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        X.iloc[0, 0] += 1
        return super().fit(X, y)


class Batchwise(Mean):
    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return super().predict(X) * len(X)


class Random(Mean):
    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        super().fit(X, y)
        self.mean_ *= np.random.default_rng().uniform(1, 2)
        return self


class Forgetful(Mean):
    def to_arrays(self) -> Any:
        return {"mean": np.array([0.0])}

    def from_arrays(self, arrays: Any, feature_names: Any) -> Self:
        self.mean_, self.sd_ = float(arrays["mean"][0]), 1.0
        self._columns_are(feature_names)
        return self


class Boastful(Mean):
    @property
    def heteroscedastic(self) -> bool:
        return True


def test_a_model_of_two_methods_passes() -> None:
    check_model(Mean())


@pytest.mark.parametrize(
    ("model", "law"),
    [
        (Vandal(), "fit must leave columns and costs as they are"),
        (Batchwise(), "a row alone must be predicted as it is in a batch"),
        (Random(), "the same rows and the same random_state must give the same model"),
        (Forgetful(), "from_arrays must give back what to_arrays was given"),
        (Boastful(), "sds_ must be there where standard deviations differ"),
    ],
    ids=str,
)
def test_a_model_that_breaks_a_law_is_told(model: CostModel, law: str) -> None:
    with pytest.raises(ContractError, match=law):
        check_model(model)
