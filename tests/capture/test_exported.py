"""Programs of torch.export: the graphs of the modules that they came from."""

import pytest
import torch
from torch import nn

from hwnas_surrogate import Graph
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from tests.capture.test_torch_module import ZOO, Lambda

QUICK = [name for name in ZOO if name not in ("lstm", "gru")]  # exporting their steps takes seconds


@pytest.mark.parametrize("name", QUICK)
def test_multiply_adds_and_parameters_are_those_of_the_module(name):
    module, *inputs = ZOO[name]
    of_module = Graph.from_torch(module.eval(), *inputs)
    found = Graph.from_exported(torch.export.export(module, tuple(inputs)))
    assert (found.macs, found.params) == (of_module.macs, of_module.params)
    if not name.startswith("transformer"):  # an export knows what is never masked
        assert found == of_module


def test_keywords_and_dynamic_sizes_are_those_of_the_export():
    module = Lambda(lambda self, x, scale: self.conv(x) * scale, conv=nn.Conv2d(3, 4, 3)).eval()
    module.forward = lambda x, scale: module.conv(x) * scale
    x, scale = torch.zeros(4, 3, 9, 9), torch.ones(1)
    dynamic = {"x": {0: torch.export.Dim("batch", min=2, max=64)}, "scale": None}
    program = torch.export.export(module, (x,), {"scale": scale}, dynamic_shapes=dynamic)
    assert Graph.from_exported(program).macs == 4 * 49 * 4 * 27


@pytest.mark.parametrize(
    "module", [nn.BatchNorm2d(3), nn.Sequential(nn.ReLU(), nn.Dropout(0.5))], ids=["batch norm", "dropout"]
)
def test_programs_of_training_are_refused(module):
    program = torch.export.export(module.train(), (torch.zeros(2, 3, 4, 4),))
    with pytest.raises(InvalidGraphError, match="exported in training mode"):
        Graph.from_exported(program)
    assert len(Graph.from_exported(torch.export.export(module.eval(), (torch.zeros(2, 3, 4, 4),)))) == 1


def test_control_flow_is_refused():
    def forward(_, x):
        return torch.cond(x.sum() > 0, lambda x: x.relu(), lambda x: x.sigmoid(), (x,))

    with pytest.raises(InvalidGraphError, match="cond is control flow"):
        Graph.from_exported(torch.export.export(Lambda(forward).eval(), (torch.zeros(4),)))


def test_what_is_no_program_is_refused():
    with pytest.raises(InvalidInputError, match=r"takes a torch\.export\.ExportedProgram, got Linear"):
        Graph.from_exported(nn.Linear(2, 2))
