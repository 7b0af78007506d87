"""The weights of one architecture's file as PyTorch's tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hwnas_surrogate.data.accuracy.stand_ins import Storage, Tensor

if TYPE_CHECKING:
    import torch

__all__ = ["with_weights"]


def with_weights(value: Any, read: Callable[[Mapping[str, Storage]], Mapping[str, bytes]]) -> Any:
    """Put tensors where their descriptions are, in dicts and lists, and return the value.

    Parameters
    ----------
    value : object
        What the pickle holds.
    read : callable
        Returns the bytes of storages by key; called once.
    """
    places: list[tuple[Any, Any, Tensor]] = []
    todo = [value] if type(value) in (dict, list) else []
    seen = set()
    while todo:
        container = todo.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        for key, item in container.items() if type(container) is dict else enumerate(container):
            if type(item) is Tensor:
                places.append((container, key, item))
            elif type(item) in (dict, list):
                todo.append(item)
    storages = read({tensor.storage.key: tensor.storage for _, _, tensor in places})
    made: dict[int, Any] = {}
    for container, key, tensor in places:
        if id(tensor) not in made:
            made[id(tensor)] = _tensor(tensor, storages[tensor.storage.key])
        container[key] = made[id(tensor)]
    return value


def _tensor(place: Tensor, raw: bytes) -> torch.Tensor:
    import torch

    kinds = {
        "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
        "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
        "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    }  # fmt: skip
    if not raw:
        return torch.empty(place.shape, dtype=kinds[place.storage.kind])
    whole = torch.frombuffer(bytearray(raw), dtype=kinds[place.storage.kind])
    return whole.as_strided(place.shape, place.strides, place.offset).clone()
