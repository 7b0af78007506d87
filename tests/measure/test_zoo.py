"""The zoo's networks as networks that a user names: which there are, and that they are found again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hwnas_surrogate.capture import OnnxFile
from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure.runnable import TorchRunnable
from hwnas_surrogate.measure.subjects import GivenSubject, from_message
from hwnas_surrogate.measure.zoo import named_networks
from hwnas_surrogate.networks.zoo import zoo_families, zoo_networks
from tests.networks.zoo.example import SMALL


def test_all_of_the_zoo_or_a_family() -> None:
    assert [given.name for given in named_networks(["zoo"])] == [network.name for network in zoo_networks()]
    family = named_networks([f"zoo:{SMALL.family}"])
    assert [given.name for given in family] == [network.name for network in zoo_networks([SMALL.family])]
    assert {given.source for given in family} == {f"zoo:{SMALL.family}"}


def test_a_network_is_there_once() -> None:
    last = zoo_families()[-1]
    names = [given.name for given in named_networks([f"zoo:{last}", "zoo", f"zoo:{last}"])]
    assert names[0] == zoo_networks([last])[0].name
    assert sorted(names) == sorted(network.name for network in zoo_networks())


def test_the_measuring_process_finds_it_again() -> None:
    [given] = [given for given in named_networks([f"zoo:{SMALL.family}"]) if given.name == SMALL.name]
    subject = GivenSubject.of(given)
    assert subject.key == (SMALL.name, given.graph().digest, "")
    runnable = from_message(subject.message()).build()
    assert isinstance(runnable, TorchRunnable)
    module, inputs = runnable.module()
    with torch.inference_mode():
        assert torch.equal(module(*inputs), SMALL.build()(*SMALL.example_inputs()))


def test_a_network_that_a_new_version_changed() -> None:
    stale = GivenSubject(SMALL.name, f"zoo:{SMALL.family}", None, "0" * 64)
    with pytest.raises(MeasurementError, match=r"gives another network called .* than when the measurement began"):
        stale.build()


def test_beside_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"")
    *_, last = named_networks([str(path), f"zoo:{SMALL.family}"])
    assert isinstance(last, OnnxFile)
    path = path.rename(tmp_path / f"{SMALL.name}.onnx")
    with pytest.raises(InvalidInputError, match=r"two networks are called .*Rename one"):
        named_networks([str(path), "zoo"])


@pytest.mark.parametrize(
    ("sources", "shape", "message"),
    [
        (["zoo:resnets"], None, r"unknown family of the zoo 'resnets'"),
        (["zoo:"], None, r"unknown family of the zoo ''"),
        (["zoo:vgg"], "1x3x64x64", r"an input shape is for \.onnx files, of which there are none"),
        (["zoos"], None, r"networks are an \.onnx file, .*'zoos', which does not exist"),
    ],
    ids=["unknown", "empty", "shape", "mistyped"],
)
def test_bad_sources(sources: list[str], shape: str | None, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        named_networks(sources, shape)
