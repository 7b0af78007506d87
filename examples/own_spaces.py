"""Two search spaces of one's own, as docs/how-to/own-space.md explains them: a MobileNet-like one and transformers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from hwnas_surrogate import ModuleSpace


class InvertedResidual(nn.Module):
    """Expand the channels, convolve each, squeeze and excite them, and project them."""

    def __init__(self, c_in, c_out, kernel, stride, expansion, squeeze):
        super().__init__()
        middle = c_in * expansion
        self.expand = nn.Sequential(nn.Conv2d(c_in, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU6())
        depthwise = nn.Conv2d(middle, middle, kernel, stride, kernel // 2, groups=middle, bias=False)
        self.depthwise = nn.Sequential(depthwise, nn.BatchNorm2d(middle), nn.ReLU6())
        small = nn.Conv2d(middle, middle // 4, 1), nn.ReLU(), nn.Conv2d(middle // 4, middle, 1), nn.Hardsigmoid()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), *small) if squeeze else None
        self.project = nn.Sequential(nn.Conv2d(middle, c_out, 1, bias=False), nn.BatchNorm2d(c_out))
        self.is_residual = stride == 1 and c_in == c_out

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        y = self.project(y if self.gate is None else y * self.gate(y))
        return x + y if self.is_residual else y


class MobileLike(ModuleSpace):
    """Four stages of inverted residuals, each of its own depth, kernel and expansion."""

    name = "mobile-like"
    input_shape = (3, 96, 96)
    choices = {"width": (0.5, 0.75, 1.0)}
    for stage in "1234":
        choices |= {f"depth{stage}": (1, 2, 3), f"kernel{stage}": (3, 5, 7)}
        choices |= {f"expansion{stage}": (2, 4, 6), f"squeeze{stage}": (False, True)}

    def build(self, arch, config):
        channels = [int(width * arch["width"]) for width in (32, 32, 48, 96, 160)]
        c_in = channels[0]
        layers = [nn.Conv2d(config.input_shape[0], c_in, 3, 2, 1, bias=False), nn.BatchNorm2d(c_in), nn.ReLU6()]
        for stage, c_out in zip("1234", channels[1:], strict=True):
            kernel, expansion, squeeze = (arch[name + stage] for name in ("kernel", "expansion", "squeeze"))
            for layer in range(arch[f"depth{stage}"]):
                stride = 2 if layer == 0 else 1
                layers.append(InvertedResidual(c_in, c_out, kernel, stride, expansion, squeeze))
                c_in = c_out
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, 100))


class EncoderLayer(nn.Module):
    """Attention and a feed-forward network, with the norms first."""

    def __init__(self, width, heads, ratio):
        super().__init__()
        self.heads, self.norm, self.second_norm = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.forward_layers = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.to_qkv(self.norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        attended = functional.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.forward_layers(self.second_norm(x))


class SmallTransformer(ModuleSpace):
    """Encoders of text, whose input has the length that the architecture chooses."""

    name = "small-transformer"
    choices = {
        "layers": (2, 3, 4, 5),
        "heads": (2, 4, 8),
        "width": (64, 96, 128, 144),
        "ratio": (2, 3, 4),
        "length": (32, 64, 96, 128),
    }

    def example_inputs(self, arch, config):
        return torch.zeros(1, arch["length"], dtype=torch.int64)

    def build(self, arch, config):
        width = arch["width"]
        layers = [EncoderLayer(width, arch["heads"], arch["ratio"]) for _ in range(arch["layers"])]
        return nn.Sequential(nn.Embedding(2000, width), *layers, nn.LayerNorm(width), nn.Linear(width, 10))
