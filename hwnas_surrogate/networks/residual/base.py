"""The base of the benchmark's image classifiers, and the parts that several of them have."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas_surrogate.networks.residual.plan import Block, Conv

__all__ = ["Classifier", "ConvUnit", "ResidualBlock"]


class Classifier(nn.Module):
    """A network that classifies images; it has a message for logs."""

    message: str

    def get_message(self) -> str:
        """Return one line that describes the network."""
        return self.message


class ConvUnit(nn.Module):
    """An optional 2x2 average pool, a convolution without bias, an optional batch norm, an optional ReLU."""

    def __init__(self, of: Conv) -> None:
        super().__init__()
        self.avg = nn.AvgPool2d(2) if of.pooled else None
        self.conv = nn.Conv2d(of.c_in, of.c_out, of.kernel, of.stride, padding=of.kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(of.c_out) if of.norm else None
        self.relu = nn.ReLU() if of.relu else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply those that are there, in order."""
        for part in (self.avg, self.conv, self.bn, self.relu):
            if part is not None:
                x = part(x)
        return x


class ResidualBlock(nn.Module):
    """Convolutions beside a shortcut, added up before the last ReLU."""

    def __init__(self, of: Block) -> None:
        super().__init__()
        self.names = [name for name, _ in of.convs()]
        for name, conv in of.convs():
            self.add_module(name, ConvUnit(conv))
        shortcut = of.shortcut()
        self.downsample = None if shortcut is None else ConvUnit(shortcut)
        self.relu = nn.ReLU()
        self.position = of.stage, of.place

    def forward(self, x: Tensor) -> Tensor:
        """Run both branches."""
        shortcut = x if self.downsample is None else self.downsample(x)
        for name in self.names:
            x = self.get_submodule(name)(x)
        out: Tensor = self.relu(shortcut + x)
        return out

    def last_norm(self) -> nn.BatchNorm2d:
        """Return the batch norm before the sum."""
        unit = self.get_submodule(self.names[-1])
        assert isinstance(unit, ConvUnit)
        assert unit.bn is not None
        return unit.bn
