"""Measurement noise compared with the error of surrogates."""

from __future__ import annotations

import math

import pandas as pd

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.holdout import summary
from hwnas_surrogate.evaluation.results import Evaluation

__all__ = ["noise_against_error"]


def noise_against_error(table: CostTable, evaluation: Evaluation | None = None) -> pd.DataFrame:
    """Compare measurement noise with the error of surrogates.

    Parameters
    ----------
    table : CostTable
        The costs, with repeated runs.
    evaluation : Evaluation, optional
        Scores of surrogates on these targets, from :func:`evaluate` or a protocol.

    Returns
    -------
    DataFrame
        ``target, n`` (costs measured repeatedly), ``noise_tau`` and ``noise_difference``: Kendall's tau and the
        median relative difference between two halves of the runs (:meth:`CostTable.noise_floor`), NaN for a target
        without repeats. One row per target; with an evaluation one per target, model and ``n_train``, with ``seeds``,
        ``surrogate_tau``, ``surrogate_mdape`` (means over the seeds), and ``gap``: the tau of the noise minus the
        surrogate's. NaN for targets that were not evaluated.

    Raises
    ------
    InvalidInputError
        If the table is no cost table, or the evaluation is no evaluation or has none of the table's targets.

    Examples
    --------
    >>> repeats = [[[n, n, n, n, n + 1.5 * (n % 2)]] for n in range(1, 9)]
    >>> costs = [[n] for n in range(1, 9)]
    >>> table = CostTable("nasbench201", list(range(8)), costs, ["cpu/latency"], repeats=repeats)
    >>> noise_against_error(table).round(3).to_dict("records")
    [{'target': 'cpu/latency', 'n': 8, 'noise_tau': 0.714, 'noise_difference': 0.097}]
    """
    floors = checked_table("noise_against_error", table).noise_floor()
    rows = []
    for target in table.targets:
        floor = floors.get(target, {})
        noise = (floor.get("kendall_tau", math.nan), floor.get("median_relative_difference", math.nan))
        rows.append((str(target), int(floor.get("n", 0)), *noise))
    noises = pd.DataFrame(rows, columns=["target", "n", "noise_tau", "noise_difference"])
    if evaluation is None:
        return noises
    if not isinstance(evaluation, Evaluation):
        raise InvalidInputError(f"evaluation must be an Evaluation, got {type(evaluation).__name__}.")
    means = summary(evaluation.scores)
    means["target"] = means["device"] + "/" + means["metric"]
    if not set(means["target"]) & set(noises["target"]):
        raise InvalidInputError(
            f"the evaluation is of {sorted(set(means['target']))}, the table of {list(noises['target'])}: none is both."
        )
    renamed = {"kendall_tau": "surrogate_tau", "mdape": "surrogate_mdape"}
    kept = means[["target", "model", "n_train", "seeds", *renamed]].rename(columns=renamed)
    merged = noises.merge(kept, on="target", how="left")
    return merged.assign(gap=merged["noise_tau"] - merged["surrogate_tau"])
