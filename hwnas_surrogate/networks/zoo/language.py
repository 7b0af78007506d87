"""Networks of token sequences: language models, encoders, and mixers without attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.zoo.blocks import Attention, Residual, Transposed, feed_forward, pre_norm
from hwnas_surrogate.networks.zoo.family import Family, tokens
from hwnas_surrogate.networks.zoo.mixers import GatedMLP, Pooled

__all__ = ["FAMILIES", "Positions", "RMSNorm"]


class Positions(nn.Module):
    """Embed tokens, and add a learned vector to each position."""

    def __init__(self, vocabulary: int, length: int, dim: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim)
        self.places = nn.Parameter(torch.randn(1, length, dim) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Look up and add."""
        out: Tensor = self.words(x) + self.places
        return out


def gpt(dim: int, depth: int, heads: int, vocabulary: int, size: int) -> nn.Sequential:
    """Return a language model as GPT-2 [1]_, which returns logits at every position.

    References
    ----------
    .. [1] Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """
    blocks = [
        nn.Sequential(pre_norm(dim, Attention(dim, heads, is_causal=True)), pre_norm(dim, feed_forward(dim, 4 * dim)))
        for _ in range(depth)
    ]
    head = nn.Linear(dim, vocabulary, bias=False)
    return nn.Sequential(Positions(vocabulary, size, dim), *blocks, nn.LayerNorm(dim), head)


class RMSNorm(nn.Module):
    """Divide by the root of the mean square [1]_, in operators that every file format has.

    References
    ----------
    .. [1] Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize, and scale each channel."""
        square = (x * x).mean(-1, keepdim=True)
        return x * torch.rsqrt(square + 1e-6) * self.weight


class _RotaryAttention(nn.Module):
    """Causal attention with rotated queries and keys; several heads share keys and values.

    Its products and its softmax stand apart, as in many programs for such models.
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor

    def __init__(self, dim: int, heads: int, shared: int, length: int) -> None:
        super().__init__()
        self.heads, self.shared, self.each = heads, shared, dim // heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim // shared, bias=False)
        self.value = nn.Linear(dim, dim // shared, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        half = self.each // 2
        angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", torch.cat([angles.cos(), angles.cos()], 1), persistent=False)
        self.register_buffer("sin", torch.cat([angles.sin(), angles.sin()], 1), persistent=False)
        later = torch.full((length, length), -1e4).triu(1)
        self.register_buffer("mask", later, persistent=False)

    def _rotated(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        return x * self.cos + torch.cat([-second, first], -1) * self.sin

    def forward(self, x: Tensor) -> Tensor:
        """Rotate, repeat keys and values for the heads that share them, and attend."""
        batch, length, dim = x.shape

        def split(part: Tensor) -> Tensor:
            return part.reshape(batch, length, part.shape[-1] // self.each, self.each).transpose(1, 2)

        query, key, value = self._rotated(split(self.query(x))), split(self.key(x)), split(self.value(x))
        key = self._rotated(key)
        if self.shared > 1:
            key, value = torch.cat([key] * self.shared, 1), torch.cat([value] * self.shared, 1)
        weights = (query @ key.transpose(2, 3) * self.each**-0.5 + self.mask).softmax(-1)
        out: Tensor = self.out((weights @ value).transpose(1, 2).reshape(batch, length, dim))
        return out


class _SwiGLU(nn.Module):
    """A linear layer that another one gates [1]_, then a third.

    References
    ----------
    .. [1] Shazeer, "GLU Variants Improve Transformer", 2020.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(dim, hidden, bias=False), nn.SiLU())
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gate and project."""
        out: Tensor = self.down(self.gate(x) * self.up(x))
        return out


def llama(dim: int, depth: int, heads: int, shared: int, vocabulary: int, size: int) -> nn.Sequential:
    """Return a language model as LLaMA [1]_: RMS norms, rotary positions, gated feed-forward layers.

    References
    ----------
    .. [1] Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023.
    """
    layers: list[nn.Module] = [nn.Embedding(vocabulary, dim)]
    for _ in range(depth):
        layers.append(Residual(nn.Sequential(RMSNorm(dim), _RotaryAttention(dim, heads, shared, size))))
        layers.append(Residual(nn.Sequential(RMSNorm(dim), _SwiGLU(dim, 8 * dim // 3 // 8 * 8))))
    return nn.Sequential(*layers, RMSNorm(dim), nn.Linear(dim, vocabulary, bias=False))


def bert(dim: int, depth: int, heads: int, vocabulary: int, size: int) -> nn.Sequential:
    """Return an encoder as BERT [1]_: the norm after each block, a hyperbolic tangent before the classifier.

    References
    ----------
    .. [1] Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
       NAACL 2019.
    """
    layers: list[nn.Module] = [Positions(vocabulary, size, dim), nn.LayerNorm(dim)]
    for _ in range(depth):
        layers += [Residual(Attention(dim, heads)), nn.LayerNorm(dim)]
        layers += [Residual(feed_forward(dim, 4 * dim)), nn.LayerNorm(dim)]
    head = nn.Sequential(_FirstToken(), nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 2))
    return nn.Sequential(*layers, head)


class _FirstToken(nn.Module):
    """The first position of a sequence."""

    def forward(self, x: Tensor) -> Tensor:
        """Take it."""
        return x[:, 0]


def gmlp_text(dim: int, depth: int, vocabulary: int, size: int) -> nn.Sequential:
    """Return a gMLP of tokens, which predicts each of them."""
    blocks = [pre_norm(dim, GatedMLP(dim, 4 * dim, size)) for _ in range(depth)]
    return nn.Sequential(nn.Embedding(vocabulary, dim), *blocks, nn.LayerNorm(dim), nn.Linear(dim, vocabulary))


class _FourierMixer(nn.Module):
    """The real part of the Fourier transform of a sequence along positions and channels, by products with matrices."""

    places_cos: Tensor
    places_sin: Tensor
    channels_cos: Tensor
    channels_sin: Tensor

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        for name, count in (("places", length), ("channels", dim)):
            turns = torch.arange(count)[:, None] * torch.arange(count)[None] * (2 * torch.pi / count)
            self.register_buffer(f"{name}_cos", turns.cos() * count**-0.5, persistent=False)
            self.register_buffer(f"{name}_sin", turns.sin() * count**-0.5, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform."""
        return self.places_cos @ (x @ self.channels_cos) - self.places_sin @ (x @ self.channels_sin)


def fnet(dim: int, depth: int, vocabulary: int, size: int) -> nn.Sequential:
    """Return an FNet [1]_, which mixes positions by Fourier transforms.

    References
    ----------
    .. [1] Lee-Thorp et al., "FNet: Mixing Tokens with Fourier Transforms", NAACL 2022.
    """
    layers: list[nn.Module] = [Positions(vocabulary, size, dim), nn.LayerNorm(dim)]
    for _ in range(depth):
        layers += [Residual(_FourierMixer(size, dim)), nn.LayerNorm(dim)]
        layers += [Residual(feed_forward(dim, 4 * dim)), nn.LayerNorm(dim)]
    return nn.Sequential(*layers, Pooled(dim, 4))


class _GatedConv(nn.Module):
    """A causal depthwise convolution of a sequence between two gates [1]_.

    References
    ----------
    .. [1] Poli et al., "Hyena Hierarchy: Towards Larger Convolutional Language Models", ICML 2023.
    """

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.causal = Transposed(
            nn.Sequential(nn.ConstantPad1d((kernel - 1, 0), 0.0), nn.Conv1d(dim, dim, kernel, groups=dim))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gate, convolve, gate."""
        before, after, value = self.project(x).chunk(3, -1)
        out: Tensor = self.out(after * self.causal(before.sigmoid() * value))
        return out


def conv_language(dim: int, depth: int, kernel: int, vocabulary: int) -> nn.Sequential:
    """Return a language model of gated convolutions, for any length."""
    blocks = [
        nn.Sequential(pre_norm(dim, _GatedConv(dim, kernel)), pre_norm(dim, _SwiGLU(dim, 2 * dim)))
        for _ in range(depth)
    ]
    return nn.Sequential(nn.Embedding(vocabulary, dim), *blocks, nn.LayerNorm(dim), nn.Linear(dim, vocabulary))


class TextCNN(nn.Module):
    """Convolutions of several kernels over tokens, each pooled to its maximum [1]_.

    Parameters
    ----------
    dim, channels : int
        Of the tokens' vectors, and of each convolution.
    kernels : tuple of int
    vocabulary : int

    References
    ----------
    .. [1] Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014.
    """

    def __init__(self, dim: int, channels: int, kernels: tuple[int, ...], vocabulary: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(dim, channels, kernel, padding=kernel // 2),
                nn.ReLU(),
                nn.Conv1d(channels, channels, 3, padding=1),
                nn.ReLU(),
            )
            for kernel in kernels
        )
        self.head = nn.Linear(channels * len(kernels), 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of (batch, length) tokens."""
        words = self.words(x).transpose(1, 2)
        out: Tensor = self.head(torch.cat([branch(words).amax(2) for branch in self.branches], 1))
        return out


FAMILIES = (
    Family(
        "gpt", "gpt-l{depth}-c{dim}-h{heads}-v{vocabulary}-{size}t", gpt, "dim depth heads vocabulary size",
        ((64, 2, 2, 1000, 32), (128, 4, 4, 2000, 64), (128, 6, 4, 1000, 256), (256, 6, 4, 4000, 32),
         (192, 4, 6, 1000, 512), (96, 8, 3, 256, 384)),
        reads=tokens,
        is_sized=True,
    ),
    Family(
        "llama", "llama-l{depth}-c{dim}-h{heads}-s{shared}-v{vocabulary}-{size}t", llama,
        "dim depth heads shared vocabulary size",
        ((64, 2, 2, 1, 1000, 32), (128, 4, 4, 2, 2000, 64), (128, 6, 4, 1, 1000, 192), (256, 6, 8, 4, 4000, 16),
         (256, 4, 4, 1, 2000, 256), (128, 4, 4, 4, 512, 512)),
        reads=tokens,
        is_sized=True,
    ),
    Family(
        "bert", "bert-l{depth}-c{dim}-h{heads}-v{vocabulary}-{size}t", bert, "dim depth heads vocabulary size",
        ((64, 2, 2, 2000, 32), (128, 6, 4, 4000, 64), (192, 6, 3, 4000, 192), (256, 6, 8, 4000, 16),
         (312, 4, 12, 4000, 128), (128, 4, 2, 4000, 512)),
        reads=tokens,
        is_sized=True,
    ),
    Family(
        "gmlp-text", "gmlp-text-l{depth}-c{dim}-v{vocabulary}-{size}t", gmlp_text, "dim depth vocabulary size",
        ((64, 4, 1000, 32), (128, 6, 2000, 128), (128, 8, 1000, 256), (192, 8, 4000, 64), (256, 4, 1000, 384)),
        reads=tokens,
        is_sized=True,
    ),
    Family(
        "fnet", "fnet-l{depth}-c{dim}-v{vocabulary}-{size}t", fnet, "dim depth vocabulary size",
        ((64, 2, 2000, 32), (128, 4, 4000, 128), (192, 6, 4000, 64), (128, 6, 2000, 384), (256, 4, 4000, 256)),
        reads=tokens,
        is_sized=True,
    ),
    Family(
        "conv-language", "conv-language-l{depth}-c{dim}-k{kernel}-v{vocabulary}-{size}t", conv_language,
        "dim depth kernel vocabulary size",
        ((64, 2, 3, 1000, 64), (128, 4, 7, 2000, 128), (128, 6, 15, 1000, 512), (256, 6, 7, 4000, 48),
         (256, 4, 31, 1000, 256)),
        reads=tokens,
    ),
    Family(
        "text-cnn", "text-cnn-c{channels}-e{dim}-k{kernels[2]}-v{vocabulary}-{size}t", TextCNN,
        "dim channels kernels vocabulary size",
        ((64, 64, (3, 5, 7), 4000, 64), (128, 128, (3, 5, 7), 4000, 128), (128, 128, (1, 3, 5), 8000, 512),
         (192, 192, (3, 5, 9), 8000, 256), (256, 256, (3, 5, 7), 4000, 96)),
        reads=tokens,
    ),
)  # fmt: skip
