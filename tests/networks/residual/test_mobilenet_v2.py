from __future__ import annotations

import torch

from hwnas_surrogate.networks.residual import InferredMobileNetV2, MobileNetV2

STAGES = [(16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1)]


def channels(widths: dict[int, int] | None = None) -> str:
    """Return the text of a narrow network; ``widths`` are other outputs of some of the 17 blocks."""
    groups, c_in, block = ["3-4"], 4, 0
    for stage, (_, n_blocks) in enumerate(STAGES):
        for _ in range(n_blocks):
            c_out = (widths or {}).get(block, 4 + stage)
            groups.append(f"{c_in}-{c_out}" if block == 0 else f"{c_in}-9-{c_out}")
            c_in, block = c_out, block + 1
    return " ".join([*groups, f"{c_in}-20", "20-3"])


def test_fewer_blocks() -> None:
    """The first block after dropped ones reads the channels of the last kept block."""
    text = channels({1: 7, 2: 11})
    network = InferredMobileNetV2(3, text, [1, 1, 1, 1, 1, 1, 1], 0.0)
    assert len(network.features) == 9
    assert network.features[3].conv[0].conv.in_channels == 7
    features, logits = network.eval()(torch.randn(2, 3, 64, 64))
    assert (features.shape, logits.shape) == ((2, 20, 2, 2), (2, 3))


def test_shortcuts_only_where_channels_change() -> None:
    network = InferredMobileNetV2(3, channels({2: 11}), [1, 2, 3, 4, 3, 3, 1], 0.0)
    with_shortcut = [number for number, block in enumerate(network.features) if getattr(block, "shortcut", None)]
    assert with_shortcut == [3]  # the second block of the second stage; a stage's first block has none
    block = network.features[3].eval()
    x = torch.randn(1, 5, 4, 4)
    assert torch.allclose(block(x), block.conv(x) + block.shortcut(x))


def test_width_above_one_widens_the_last_convolution() -> None:
    with torch.device("meta"):
        network = MobileNetV2(3, 1.5, 32, 100, 0.2)
    assert network.classifier[1].in_features == 150
    assert network.features[0].conv.out_channels == 48


def test_dropout() -> None:
    assert MobileNetV2(3, 0.25, 32, 10, 0.4).classifier[0].p == 0.4
