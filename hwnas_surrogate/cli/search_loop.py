"""The closed loop of ``hwnas search``: networks are measured here or on boards, or exported to be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas_surrogate.cli.options import open_samples, open_sources
from hwnas_surrogate.cli.output import progress, say
from hwnas_surrogate.errors import DataFileError, InvalidInputError

if TYPE_CHECKING:
    from hwnas_surrogate.capture import GivenNetwork
    from hwnas_surrogate.data import CostTable
    from hwnas_surrogate.graphs import NetworkBatch
    from hwnas_surrogate.measure import Setting
    from hwnas_surrogate.search import ClosedLoop, SearchResult


def check_loop(
    measure: str | None, export: Path | None, of_measure: Mapping[str, object], of_both: Mapping[str, object]
) -> None:
    """Refuse options of the closed loop without it, and two ways to measure at once."""
    if measure is not None and export is not None:
        raise InvalidInputError("--measure measures the networks, --export leaves that to you: give one of them.")
    unused = of_measure if measure is None else {}
    if measure is None and export is None:
        unused = {**of_measure, **of_both}
    if stray := [option for option, given in unused.items() if given]:
        where = "--measure or --export" if stray[0] in of_both else "--measure"
        raise InvalidInputError(f"{stray[0]} belongs to {where}, which is not given.")


def measured_search(
    candidates: Any,
    wanted: dict[str, Any],
    sources: list[str] | None,
    *,
    export: Path | None,
    settings: Sequence[Setting],
    device: str | None,
    output: Path,
    own: Callable[[], Sequence[GivenNetwork] | None] | None,
) -> SearchResult | None:
    """Search in a closed loop, with networks that are exported or measured in some settings.

    Parameters
    ----------
    candidates, wanted
        As :class:`~hwnas_surrogate.search.ClosedLoop` takes them.
    sources : list of str or None
        Costs of other devices.
    export : Path or None
        Where to export networks; None to measure them.
    settings, device, output
        Where to measure, the name of a single setting's device, and the table.
    own : callable or None
        Returns the candidates if they are networks of the user's own.

    Returns
    -------
    SearchResult or None
        None if networks were exported, and wait for their costs.
    """
    from hwnas_surrogate.search import ClosedLoop
    from hwnas_surrogate.search.cost_sources import Costs
    from hwnas_surrogate.spaces import ArchBatch, SearchSpace

    costs = Costs(wanted["surrogates"])
    of = candidates.space if isinstance(candidates, ArchBatch) else candidates
    space = of if isinstance(of, SearchSpace) else None
    known = open_sources(sources, space, wanted["random_state"])
    if export is not None:
        make = partial(ClosedLoop, candidates, sources=known, **wanted)
        return _exported(make, list(map(str, costs.targets)), export)
    given = None if space is not None or own is None else own()
    if space is None and given is None:
        raise InvalidInputError(
            "--measure runs .onnx files, or networks of --networks FILE.py:NAME; tables of graphs can't be run."
        )
    host = Host(settings, device, output, given)
    names = [device] if device and len(settings) == 1 else [setting.device for setting in settings]
    measured = [f"{name}/latency" for name in names]
    return _measured(ClosedLoop(candidates, sources=known, measured=measured, table=host.table(), **wanted), host)


def _measured(loop: ClosedLoop, host: Host) -> SearchResult:
    """Measure here or on boards, round after round, and return the best of what was measured."""
    if loop.table is not None:
        say(f"{len(loop.table)} networks are measured already, in {host.path}")
    while len(batch := loop.ask()):
        _tell(loop, batch)
        loop.tell(host.measure(batch))
    say(f"{_counted(loop)}; every measurement is kept in {host.path}")
    return loop.result()


class Host:
    """Measures networks in one or several settings, into one table that grows.

    Parameters
    ----------
    settings : sequence of Setting
    device : str or None
        The device's name, of a single setting.
    path : Path
        The table.
    given : sequence of GivenNetwork or None
        The candidates, if they are networks of the user's own.
    """

    def __init__(
        self, settings: Sequence[Setting], device: str | None, path: Path, given: Sequence[GivenNetwork] | None
    ) -> None:
        self.path = path
        self._settings, self._device = settings, device
        self._given = None if given is None else {network.name: network for network in given}

    def table(self) -> CostTable | None:
        """Return what was measured before."""
        from hwnas_surrogate.data import CostTable, load_table

        if not self.path.exists():
            return None
        table = load_table(self.path)
        if not isinstance(table, CostTable):
            raise InvalidInputError(f"{self.path} holds costs of blocks, each alone; name another file with -o.")
        return table

    def measure(self, batch: NetworkBatch) -> CostTable:
        """Measure networks, beside those measured before: one journal corrects the drift between the rounds."""
        from hwnas_surrogate.measure import measure, measure_networks, measure_several
        from hwnas_surrogate.spaces import ArchBatch

        before = self.table()
        one: Any
        if isinstance(batch, ArchBatch):
            archs, configs = list(batch.archs), [batch.configs[number] for number in batch.config_number]
            if before is not None:
                archs, configs = [*before.archs, *archs], [*before.row_configs, *configs]
            one = partial(measure, batch.space, archs, configs=configs)
        else:
            names = [*(() if before is None else before.names), *batch.names]
            one = partial(measure_networks, [(self._given or {})[name] for name in names])
        with progress("measuring") as update:
            if len(self._settings) > 1:
                return measure_several(one, self._settings, self.path, update)
            [only] = self._settings
            table: CostTable = one(
                self.path, runtime=only.runtime, board=only.board, device=self._device, progress=update
            )
            return table


def _exported(make: Callable[..., ClosedLoop], predicted: Sequence[str], folder: Path) -> SearchResult | None:
    """Read the forms of earlier rounds, and export the networks of the next one; return the result at the end."""
    from hwnas_surrogate.graphs import GraphBatch
    from hwnas_surrogate.measure.form import RESULTS

    named = [*make.keywords["objectives"], *make.keywords["budgets"]]  # type: ignore[attr-defined]
    measured = [name for name in named if "/" in name and name not in predicted]
    if not measured:
        raise InvalidInputError(
            "--export needs a target to measure: name it in --budget or --objective, as in --budget pi/latency=30."
        )
    loop = make(measured=measured)
    candidates = make.args[0]  # type: ignore[attr-defined]
    graphs = candidates if isinstance(candidates, GraphBatch) else None
    rounds = 1
    while (form := folder / f"round-{rounds}" / RESULTS).is_file():
        _check_filled(form)
        loop.tell(open_samples(str(form), None, None, networks=graphs))
        rounds += 1
    batch = loop.ask()
    if not len(batch):
        say(f"{_counted(loop)}; the search ends")
        return loop.result()
    _tell(loop, batch)
    _export(batch, form.parent)
    say(f"{len(batch)} networks written; {_how_to_fill(form)}. Then run the same command again")
    return None


def _how_to_fill(form: Path) -> str:
    """Return how the measurements get into a form."""
    by_hand = f"fill in {form}"
    if not (form.parent / "run.py").is_file():
        return by_hand
    return f"copy {form.parent} to the board and run there: python run.py --device NAME; or {by_hand} by hand"


def _check_filled(form: Path) -> None:
    """Raise if a form waits for measurements."""
    from hwnas_surrogate.measure.form import count_open

    waiting, lines = count_open(form)
    if waiting:
        raise DataFileError(
            f"{form} is not filled in yet: {waiting} of {lines} lines have no device or no value (failed, of a network "
            f"that the device can't run). To do so, {_how_to_fill(form)}. Then run the same command again."
        )


def _export(batch: NetworkBatch, folder: Path) -> None:
    """Write networks as ONNX files with a form; of the user's own, the form alone."""
    from hwnas_surrogate.data.model_column import MODEL
    from hwnas_surrogate.files import make_folder
    from hwnas_surrogate.measure.form import RESULTS, write_form
    from hwnas_surrogate.spaces import ArchBatch

    if isinstance(batch, ArchBatch):
        from hwnas_surrogate.measure import export_networks

        with progress("exporting") as update:
            export_networks(batch.space, batch.archs, folder, batch.configs[0], progress=update)
        return
    make_folder(folder)
    write_form(folder / RESULTS, [{MODEL: name} for name in batch.names])


def _tell(loop: ClosedLoop, batch: NetworkBatch) -> None:
    """Print what is measured next, and why."""
    if loop.suite is None:
        say(f"to measure: {len(batch)} networks that teach the surrogates most")
    elif loop.promise != loop.promise:
        say(f"to measure: {len(batch)} networks, the nearest to budgets that no network is predicted to keep")
    else:
        say(f"to measure: {len(batch)} networks; expected gain: {100 * loop.promise:.2g} % of the range")


def _counted(loop: ClosedLoop) -> str:
    """Return how many networks were measured, and how many the device could not run, as text."""
    import numpy as np

    if loop.table is None:
        return "no network measured"
    refused = np.zeros(len(loop.table), bool)
    for where in loop.table.reasons.values():
        refused |= where.any(axis=1)
    some = f", {int(refused.sum())} of them refused by the device" if refused.any() else ""
    return f"{len(loop.table)} networks measured{some}"
