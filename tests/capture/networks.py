"""Networks whose operators PyTorch, its exporters and their authors write in different ways."""

import torch
from torch import nn
from torch.nn import functional


def filled(module):
    """Return a module in eval mode whose parameters all differ: files store equal ones once."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for stored in (*module.parameters(), *module.buffers()):
            if stored.is_floating_point():
                stored.copy_(0.5 + torch.rand(stored.shape, generator=generator))
    return module.eval()


class Attention(nn.Module):
    """Attention over heads: one call, or its parts in the order that many networks use."""

    def __init__(self, whole, width=32, heads=4):
        super().__init__()
        self.whole, self.heads, self.scale = whole, heads, (width // heads) ** -0.5
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(1, heads, 10, 10))

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.whole:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = ((q * self.scale) @ k.transpose(-2, -1) + self.bias).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Transformer(nn.Module):
    def __init__(self, whole=True, width=32):
        super().__init__()
        self.start, self.places = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.zeros(1, 10, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(whole, width)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = torch.cat([self.start.expand(x.shape[0], -1, -1), x], 1) + self.places
        x = x + self.attention(self.norms[0](x))
        return (x + self.inner(self.norms[1](x)))[:, 0]


class MBConv(nn.Module):
    def __init__(self, channels=8, wide=32):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU())
        self.deep = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.SiLU()
        )
        self.gate = nn.Sequential(nn.Conv2d(wide, channels, 1), nn.SiLU(), nn.Conv2d(channels, wide, 1), nn.Sigmoid())
        self.project = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.deep(self.expand(x))
        return x + self.project(y * self.gate(y.mean((2, 3), keepdim=True)))


class ConvNeXt(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.deep, self.norm = nn.Conv2d(channels, channels, 7, padding=3, groups=channels), nn.LayerNorm(channels)
        self.wide, self.back = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        y = self.norm(self.deep(x).permute(0, 2, 3, 1))
        y = self.scale * self.back(functional.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


class Mixer(nn.Module):
    def __init__(self, places=12, channels=16):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(channels), nn.LayerNorm(channels)])
        self.tokens = nn.Sequential(nn.Linear(places, 24), nn.GELU("tanh"), nn.Linear(24, places))
        self.channels = nn.Sequential(nn.Linear(channels, 32), nn.Hardswish(), nn.Linear(32, channels))

    def forward(self, x):
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return (x + self.channels(self.norms[1](x))).mean(1)


class SwiGLU(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.gate, self.up = nn.Linear(width, 40, bias=False), nn.Linear(width, 40, bias=False)
        self.down = nn.Linear(40, width, bias=False)

    def forward(self, x):
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class ByHand(nn.Module):
    """Activations and normalisations as their authors wrote them."""

    def __init__(self, channels=8):
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.weight, self.bias = nn.Parameter(torch.zeros(channels, 1, 1)), nn.Parameter(torch.zeros(channels, 1, 1))
        self.groups = nn.GroupNorm(2, channels)

    def forward(self, x):
        x = self.first(x)
        x = x * functional.relu6(x + 3.0) / 6.0
        mean = x.mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)
        x = self.groups(self.second(self.weight * x + self.bias))
        x = 0.5 * x * (1.0 + torch.erf(x / 1.41421356))
        x = x * torch.tanh(functional.softplus(x))
        return torch.roll(x, (-1, 2), (2, 3))


NETWORKS = {
    "transformer": (Transformer(), torch.zeros(2, 9, 32)),
    "transformer by hand": (Transformer(whole=False), torch.zeros(2, 9, 32)),
    "mbconv": (MBConv(), torch.zeros(2, 8, 12, 12)),
    "convnext": (ConvNeXt(), torch.zeros(2, 16, 10, 10)),
    "mixer": (Mixer(), torch.zeros(2, 12, 16)),
    "swiglu": (SwiGLU(), torch.zeros(2, 6, 16)),
    "by hand": (ByHand(), torch.zeros(2, 8, 6, 6)),
}
"""Networks by name, each with an example of its input."""
