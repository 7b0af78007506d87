"""ExecuTorch: what it computes, what it leaves to portable kernels, and the times of its operators."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate.errors import MeasurementError, MissingExtraError
from hwnas_surrogate.measure.runnable import TorchRunnable
from hwnas_surrogate.measure.runtimes import executorch as lowering
from hwnas_surrogate.measure.runtimes.executorch import ExecuTorch
from hwnas_surrogate.runner.executorch_engine import ExecuTorchEngine
from hwnas_surrogate.runner.prepared import Prepared, check_outputs

pytest.importorskip("executorch", reason="the extra executorch is not installed")


class Small(nn.Module):
    """A folded batch norm, one that is read twice, and an operator that XNNPACK lacks; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.second, self.other = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, affine=False)
        self.norm.running_mean = torch.randn(8, generator=torch.Generator().manual_seed(1))

    def forward(self, x: torch.Tensor, scale: float) -> dict[str, torch.Tensor]:
        x = self.second(self.norm(self.first(x)).relu())
        return {"normed": self.other(x) * scale, "sums": x.cumsum(1)}


def small() -> TorchRunnable:
    return TorchRunnable(Small().eval(), (torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)), 2.0))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWNAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        network = small()
        found = ExecuTorch().prepare(network, tmp_path_factory.mktemp("first"))

        def fail(*_: Any) -> None:
            raise AssertionError("it is lowered again")

        patch.setattr(lowering, "_lowered", fail)
        again = ExecuTorch().prepare(network, tmp_path_factory.mktemp("again"))
        assert Path(again.files[0]).read_bytes() == Path(found.files[0]).read_bytes()
    ExecuTorchEngine().open(found)  # imports the library without its warning, which is an error where a test imports it
    return found


def test_it_computes_what_pytorch_computes(prepared: Prepared) -> None:
    session = ExecuTorchEngine().open(prepared)
    for _ in range(2):
        outputs = session.outputs()
        check_outputs(outputs, prepared)
        assert prepared.expected is not None
        assert [array.shape for array in outputs] == [array.shape for array in prepared.expected]
        session.run()


@pytest.mark.parametrize("threads", [2, 1])
def test_it_runs_with_these_threads(threads: int, prepared: Prepared) -> None:
    from executorch.extension.pybindings import portable_lib

    ExecuTorchEngine(threads).open(prepared).run()
    assert portable_lib._threadpool_get_thread_count() == threads


def test_a_number_of_threads_that_does_not_take(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    from executorch.extension.pybindings import portable_lib

    monkeypatch.setattr(portable_lib, "_unsafe_reset_threadpool", lambda _: None)
    with pytest.raises(MeasurementError, match=r"ExecuTorch runs with . threads, not 7"):
        ExecuTorchEngine(7).open(prepared)


def test_operators(prepared: Prepared) -> None:
    operators = ExecuTorchEngine().open(prepared).operators(3)
    assert operators is not None
    kinds = [operator.kind for operator in operators]
    assert "cumsum.out" in kinds
    assert any(kind.startswith("Convolution") for kind in kinds)
    assert not {"DELEGATE_CALL", "OPERATOR_CALL", "Method::execute"} & set(kinds)
    assert sum(operator.ms for operator in operators) > 0


def test_a_damaged_file_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    path = tmp_path / "model.pte"
    path.write_bytes(Path(prepared.files[0]).read_bytes()[:100])
    with pytest.raises(MeasurementError, match="ExecuTorch can't load the network"):
        ExecuTorchEngine().open(Prepared([str(path)], prepared.inputs))


def test_batch_norms_are_folded() -> None:
    network = small()
    module, inputs = network.module()
    folded = lowering._folded(torch.export.export(module, inputs))
    targets = [node.target for node in folded.graph.nodes]
    assert torch.ops.aten.batch_norm.default in targets  # the one whose convolution has another reader
    assert targets.count(torch.ops.aten.batch_norm.default) == 1
    assert not [name for name, _ in folded.named_parameters() if name.startswith("norm")]
    for got, wanted in zip(folded(*inputs).values(), network.expected(), strict=True):
        assert np.allclose(got.detach().numpy(), wanted, atol=1e-6)


def test_what_xnnpack_does_not_run() -> None:
    assert ExecuTorch().portable_operators(small()).keys() >= {"aten_cumsum_default"}


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "executorch.exir", None)
    with pytest.raises(MissingExtraError, match="the extra 'executorch'"):
        ExecuTorch().convert(small(), tmp_path)


def test_what_can_not_be_exported_is_named(tmp_path: Path) -> None:
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1 if x.sum().item() > 0 else x

    with pytest.raises(MeasurementError, match=r"torch\.export can't export it"):
        ExecuTorch().convert(TorchRunnable(Branches(), (torch.ones(1, 3),)), tmp_path)
