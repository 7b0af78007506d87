"""The noise of the measurements stands beside the surrogates' error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import Evaluation, noise_against_error
from tests.tables import noisy, table_of


def evaluation(*taus: float) -> Evaluation:
    rows = [("ridge", "a", "latency", "ms", seed, 100, tau, 0.05) for seed, tau in enumerate(taus)]
    columns = ["model", "device", "metric", "unit", "seed", "n_train", "kendall_tau", "mdape"]
    return Evaluation(pd.DataFrame(rows, columns=columns), pd.DataFrame(), {})


def test_noise_stands_beside_the_surrogates_score() -> None:
    costs = noisy(30, 2)
    repeats = np.repeat(costs[:, :, None], 5, axis=2)
    repeats[:, 0, 4] *= np.random.default_rng(0).uniform(0.9, 1.1, 30)
    repeats[:, 1] = np.nan
    table = table_of(costs, repeats=repeats)
    alone = noise_against_error(table)
    floor = next(iter(table.noise_floor().values()))
    assert alone["noise_tau"].iloc[0] == pytest.approx(floor["kendall_tau"])
    assert alone["n"].tolist() == [30, 0]
    assert np.isnan(alone["noise_tau"].iloc[1])
    beside = noise_against_error(table, evaluation(0.6, 0.8))
    assert beside["surrogate_tau"].iloc[0] == pytest.approx(0.7)
    assert beside["gap"].iloc[0] == pytest.approx(floor["kendall_tau"] - 0.7)
    assert beside["seeds"].iloc[0] == 2
    assert np.isnan(beside["surrogate_tau"].iloc[1])


def test_an_evaluation_of_other_targets_is_refused() -> None:
    table = table_of(noisy(), ["x/latency", "y/latency", "z/latency"])
    assert noise_against_error(table)["noise_tau"].isna().all()
    with pytest.raises(InvalidInputError, match="none is both"):
        noise_against_error(table, evaluation(0.5))
    with pytest.raises(InvalidInputError, match="must be an Evaluation, got DataFrame"):
        noise_against_error(table, pd.DataFrame())  # type: ignore[arg-type]
