"""The sources that speak for a new device, among many."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.trainers import AdaptWarning, SurrogateSuite, TransferSurrogate, fit_sources, transfer
from hwnas_surrogate.trainers.speaking import log_evidence, speaking


@pytest.fixture(scope="module")
def table() -> CostTable:
    loaded = load_table(space="nasbench201")
    assert isinstance(loaded, CostTable)
    part = loaded.select(["epyc-torch-1t/latency", "epyc-onnxruntime-1t/latency"])
    return part.rows(np.flatnonzero(~np.isnan(part.costs).any(axis=1)))


@pytest.fixture(scope="module")
def suite(table: CostTable) -> SurrogateSuite:
    return fit_sources(table.rows(range(40)))


def test_evidence_is_the_density_of_the_costs() -> None:
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    from hwnas_surrogate.models import PhysicsPrior

    rng = np.random.default_rng(0)
    predicted, costs = rng.uniform(1, 3, (6, 2)), rng.uniform(1, 3, 6)
    prior = PhysicsPrior(share_sds=(0.2, 0.5), noise_sds=(0.05, 0.1))
    expected = []
    for source in predicted.T:
        share = source / np.median(source)
        densities = [
            multivariate_normal(share, sd**2 * np.outer(share, share) + prior.constant_sd**2 + noise**2 * np.eye(6))
            for sd in prior.share_sds
            for noise in prior.noise_sds
        ]
        expected.append(logsumexp([density.logpdf(costs / np.median(costs)) for density in densities]))
    off = log_evidence(predicted, costs, prior) - expected
    assert off[0] == pytest.approx(off[1])


def test_the_device_itself_is_found_among_a_thousand_whatever_its_unit() -> None:
    rng = np.random.default_rng(1)
    costs = np.exp(rng.normal(size=10))
    predicted = costs[:, None] * np.exp(0.3 * rng.normal(size=(10, 1000)))
    predicted[:, 700] = 1e6 * costs * np.exp(0.01 * rng.normal(size=10))
    assert speaking(predicted, costs, 1).tolist() == [700]
    assert speaking(predicted, 1e-9 * costs, 1).tolist() == [700]
    assert 700 in speaking(predicted, costs, 9)
    assert len(speaking(predicted, costs, 9)) == 9


def test_a_source_without_costs_is_the_last() -> None:
    predicted = np.column_stack([np.zeros(5), [2.0, 1, 2, 1, 2]])
    assert speaking(predicted, np.arange(1.0, 6), 1).tolist() == [1]


def test_of_many_sources_those_that_speak_are_kept_and_saved(
    table: CostTable, suite: SurrogateSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch, onnxruntime = suite.surrogates_.values()
    monkeypatch.setattr(transfer, "SPEAKING", 3)
    sources = [torch] * 3 + [onnxruntime] * 3
    archs, costs = table.archs[60:80], table.costs[60:80, 1]
    new = TransferSurrogate("nasbench201", sources).fit(archs, costs)
    assert (len(new.sources_), new.n_sources_) == (3, 6)
    assert onnxruntime in new.sources_
    again = TransferSurrogate.load(new.save(tmp_path / "new"))
    assert again.predict(table.archs[80:90]).tolist() == new.predict(table.archs[80:90]).tolist()


def test_chosen_sources_are_less_credible_a_priori(
    table: CostTable, suite: SurrogateSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of a source hold no more evidence than the source, and were chosen among more."""
    monkeypatch.setattr(transfer, "SPEAKING", 3)
    torch = suite["epyc-torch-1t"]
    archs, costs = table.archs[60:70], table.costs[60:70, 1]
    weights = [TransferSurrogate("nasbench201", [torch] * n).fit(archs, costs).source_weight_ for n in (3, 60)]
    assert 0 <= weights[1] < weights[0]


def test_few_sources_are_all_kept(table: CostTable, suite: SurrogateSuite) -> None:
    new = TransferSurrogate("nasbench201", suite).fit(table.archs[60:80], table.costs[60:80, 1])
    assert new.sources_ == tuple(suite.surrogates_.values())


def test_adapting_with_a_thousand_sources_is_quick(table: CostTable, suite: SurrogateSuite) -> None:
    sources = list(suite.surrogates_.values()) * 500
    warnings.simplefilter("ignore", AdaptWarning)
    start = time.process_time()
    TransferSurrogate("nasbench201", sources).fit(table.archs[60:70], table.costs[60:70, 0])
    assert time.process_time() - start < 4
