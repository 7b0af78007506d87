"""``hwnas convert``: networks in the format of a runtime, ahead of measuring them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas_surrogate.cli.options import (
    Archs,
    Dataset,
    Networks,
    Seed,
    Space,
    choose_archs,
    read_duration,
    read_networks,
)
from hwnas_surrogate.cli.output import echo, progress, say
from hwnas_surrogate.errors import InvalidInputError, MeasurementError, MissingExtraError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwnas_surrogate.capture import GivenNetwork
    from hwnas_surrogate.measure.subjects import Subject

_SAID = 20
"""Number of failures that are printed."""
_WIDTH = 110
"""Characters of a line of pip that are printed."""


def convert(
    archs: Archs = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FORMAT", help="tflite (LiteRT, float32) or tflite-int8 (LiteRT, static int8)."),
    ] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Convert this many random architectures.")] = None,
    networks: Networks = None,
    space: Space = None,
    dataset: Dataset = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="An empty folder: write them there too."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, help="Converting processes.")] = 1,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="A network that takes longer to convert has failed.")
    ] = "10m",
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove the converted networks that are kept, and the environments.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Convert networks for LiteRT, and keep them for hwnas measure --runtime litert or litert-int8.

    The converter, litert-torch, takes over 2 GB. It is installed in an environment of its own, in the user's cache
    folder, when this command first runs; without networks, it only does that. Networks that were converted before are
    not converted again: if it is stopped, run the same command again to resume.
    """
    from hwnas_surrogate.measure.converting.tflite import FORMATS

    if clear:
        _clear(bool(archs or networks or n or to or output))
        return
    if to is None:
        raise InvalidInputError(f"name the format to convert to: --to {' or --to '.join(FORMATS)}.")
    if to not in FORMATS:
        raise unknown(InvalidInputError, "format", to, FORMATS)
    subjects = _subjects(archs, n, read_networks(archs, networks, None), space, dataset, seed)
    if output is not None:
        _check_folder(output, bool(subjects))
    longest = read_duration("--timeout", timeout)
    _make_environment()
    if not subjects:
        say("convert networks with: hwnas convert --to tflite -n 10; measure them with: hwnas measure --runtime litert")
        return
    _convert(subjects, to, jobs, longest, output)


def _subjects(
    archs: list[str] | None,
    n: int | None,
    given: tuple[GivenNetwork, ...] | None,
    space: str | None,
    dataset: str | None,
    seed: int,
) -> Mapping[str, Subject]:
    """Return the networks of the command line by name; none if it names none."""
    from hwnas_surrogate.capture import OnnxFile
    from hwnas_surrogate.measure.subjects import ArchSubject, GivenSubject
    from hwnas_surrogate.spaces import get_space

    if n is not None and (archs or given):
        raise InvalidInputError("give either architectures, or --networks, or -n N.")
    if given and (space or dataset):
        raise InvalidInputError(
            f"{'--space' if space else '--dataset'} belongs to architectures; {given[0].source} is converted as it is."
        )
    onnx = next((network for network in given or () if isinstance(network, OnnxFile)), None)
    if onnx is not None:
        raise InvalidInputError(
            f"{onnx.source} is an ONNX file, and litert-torch converts PyTorch modules only: give the network as "
            "--networks FILE.py:NAME."
        )
    if given:
        return {network.name: GivenSubject.of(network) for network in given}
    if not archs and n is None:
        return {}
    chosen = get_space(space or "nasbench201")
    config = str(chosen.config(dataset))
    texts = chosen.format_all(choose_archs(archs, n, chosen, seed))
    return {text: ArchSubject(chosen.name, text, config) for text in texts}


def _check_folder(output: Path, is_used: bool) -> None:
    from hwnas_surrogate.measure.export import check_empty

    if not is_used:
        raise InvalidInputError("there is nothing to write to --output: name architectures, --networks or -n N.")
    check_empty(output)


def _make_environment() -> None:
    """Make the environment of litert-torch if it is missing; say what it takes first."""
    from hwnas_surrogate.measure.converting.environment import (
        environment_folder,
        find_python,
        make_environment,
        needed_bytes,
    )

    try:
        find_python()
    except MissingExtraError:
        say(
            f"installing litert-torch in an environment of its own, {environment_folder()}: once, in some minutes; it "
            f"takes 2 GB, and up to {needed_bytes() / 1e9:.0f} GB on the way"
        )
        make_environment(lambda line: say(f"  {line[:_WIDTH]}"))
        say("litert-torch is installed")


def _convert(subjects: Mapping[str, Subject], form: str, jobs: int, timeout: float, output: Path | None) -> None:
    from hwnas_surrogate.measure.ahead import convert_ahead

    with progress(f"converting to {form}") as update:
        failures = convert_ahead(subjects, form, jobs=jobs, timeout=timeout, folder=output, progress=update)
    for name, reason in list(failures.items())[:_SAID]:
        say(f"{name}: {reason}")
    if len(failures) > _SAID:
        say(f"and {len(failures) - _SAID} more")
    done = len(subjects) - len(failures)
    if not done:
        raise MeasurementError(f"none of the {len(subjects)} networks could be converted.")
    runtime = "litert-int8" if form == "tflite-int8" else "litert"
    say(f"{done} networks converted, {len(failures)} failed; measure them with: hwnas measure --runtime {runtime}")
    if output is not None:
        echo(str(output))


def _clear(is_more: bool) -> None:
    from hwnas_surrogate.measure.converting.environment import remove_environments
    from hwnas_surrogate.measure.converting.tflite import conversion_cache

    if is_more:
        raise InvalidInputError("--clear only removes what is kept: it takes no networks, --to or --output.")
    size = conversion_cache().clear()
    count = remove_environments()
    say(f"removed {size / 1e6:.0f} MB of converted networks and {count} environment{'' if count == 1 else 's'}")
