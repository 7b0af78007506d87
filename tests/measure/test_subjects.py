"""What the measuring process builds."""

from __future__ import annotations

import pytest
import torch

from hwnas_surrogate.measure.subjects import ArchSubject
from hwnas_surrogate.networks.fbnet import ConvBlock, ConvNorm
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")
TINY = "C4-N1-k10-3x8x8"


def test_a_network() -> None:
    network, (image,) = ArchSubject("nasbench201", SPACE.format([[0, 1, 2, 3, 4, 0]]), TINY).build().module()
    assert image.shape == (1, 3, 8, 8)
    assert not network.training
    assert network(image)[1].shape == (1, 10)


@pytest.mark.parametrize(
    ("part", "kind", "shape"), [("stem", ConvNorm, (3, 32, 32)), ("cells.2", ConvBlock, (24, 32, 32))]
)
def test_a_part_of_a_network(part: str, kind: type, shape: tuple[int, ...]) -> None:
    space = get_space("fbnet")
    subject = ArchSubject("fbnet", space.format([2] * 22), str(space.config(None)), part)
    built, (seen,) = subject.build().module()
    assert type(built) is kind
    assert seen.shape == (1, *shape)
    with torch.inference_mode():
        built(seen)
