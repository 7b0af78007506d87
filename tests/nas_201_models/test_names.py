"""Every public name of the original is in the page on moving, and is here what the page says."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import hwnas_surrogate
import hwnas_surrogate.nas_201_models as models
from hwnas_surrogate.networks.cells import CellStructure

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "moving.md").read_text(encoding="utf-8")
TABLE = re.compile(
    r"^\| import from `([\w.]+)` \| is \| what happens here \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", re.MULTILINE
)
ROW = re.compile(r"\| `(\w+)` \| (\w+) \| (.+) \|")


class Row(NamedTuple):
    module: str
    name: str
    kind: str
    what: str


ROWS = [
    Row(module, *ROW.fullmatch(line).groups()) for module, rows in TABLE.findall(PAGE) for line in rows.splitlines()
]  # type: ignore[union-attr]

NAMES = {
    "nas_201_models": """change_key get_cell_based_tiny_net get_search_spaces get_cifar_models get_imagenet_models
        obtain_model obtain_search_model load_net_from_checkpoint CellStructure CellArchitectures dict2config""",
    "nas_201_models.SharedUtils": "additive_func change_key parse_channel_info",
    "nas_201_models.initialization": "initialize_resnet",
    "nas_201_models.clone_weights": "copy_conv copy_bn copy_fc copy_base copy_basic init_from_model",
    "nas_201_models.cell_operations": """OPS RAW_OP_CLASSES ResNetBasicblock SearchSpaceNames ReLUConvBN SepConv
        DualSepConv POOLING Identity Zero FactorizedReduce PartAwareOp GDAS_Reduction_Cell drop_path""",
    "nas_201_models.cell_infers": "TinyNetwork NASNetonCIFAR",
    "nas_201_models.cell_infers.cells": "InferCell NASNetInferCell AuxiliaryHeadCIFAR",
    "nas_201_models.cell_searchs": """TinyNetworkDarts TinyNetworkGDAS TinyNetworkSETN TinyNetworkENAS TinyNetworkRANDOM
        GenericNAS201Model CellStructure CellArchitectures NASNetworkGDAS NASNetworkGDAS_FRC NASNetworkDARTS
        NASNetworkSETN nas201_super_nets nasnet_super_nets""",
    "nas_201_models.cell_searchs.search_cells": "NAS201SearchCell NASNetSearchCell MixedOp",
    "nas_201_models.cell_searchs.genotypes": """Structure architectures get_combination ResNet_CODE AllConv3x3_CODE
        AllFull_CODE AllConv1x1_CODE AllIdentity_CODE""",
    "nas_201_models.cell_searchs.generic_model": "Controller GenericNAS201Model",
    "nas_201_models.cell_searchs.search_model_enas_utils": "Controller",
    "nas_201_models.CifarResNet": "CifarResNet",
    "nas_201_models.CifarDenseNet": "DenseNet",
    "nas_201_models.CifarWideResNet": "CifarWideResNet",
    "nas_201_models.ImageNet_ResNet": "ResNet",
    "nas_201_models.ImageNet_MobileNetV2": "MobileNetV2",
    "nas_201_models.shape_infers": """InferWidthCifarResNet InferImagenetResNet InferDepthCifarResNet InferCifarResNet
        InferMobileNetV2 DynamicShapeTinyNet""",
    "nas_201_models.shape_infers.shared_utils": "parse_channel_info",
    "nas_201_models.shape_searchs": """SearchWidthCifarResNet SearchDepthCifarResNet SearchShapeCifarResNet
        SearchWidthSimResNet SearchShapeImagenetResNet GenericNAS301Model""",
    "nas_201_models.shape_searchs.SoftSelect": """select2withP ChannelWiseInter linear_forward get_width_choices
        get_depth_choices drop_path""",
    "fbnet_models": "FBNet_Infer",
    "config_utils": """load_config dict2config configure2str obtain_basic_args obtain_attention_args
        obtain_RandomSearch_args obtain_cls_kd_args obtain_cls_init_args obtain_search_single_args obtain_search_args
        obtain_pruning_args""",
}
"""The public names of the original's modules."""


def imported(module: str) -> object:
    return importlib.import_module(f"hwnas_surrogate.{module}")


def test_the_page_has_every_name_of_the_original_once() -> None:
    assert {(row.module, row.name) for row in ROWS} == {
        (module, name) for module, names in NAMES.items() for name in names.split()
    }
    assert len(ROWS) == len({(row.module, row.name) for row in ROWS}) == 104


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.module}.{row.name}")
def test_a_name_is_what_the_page_says(row: Row) -> None:
    module = imported(row.module)
    if row.kind == "absent":
        assert not hasattr(module, row.name)
        return
    found = getattr(module, row.name)
    assert row.name in module.__all__  # type: ignore[attr-defined]
    kinds = {
        "function": inspect.isfunction(found),
        "class": inspect.isclass(found),
        "mapping": isinstance(found, Mapping),
        "structure": isinstance(found, CellStructure),
    }
    assert [kind for kind, is_so in kinds.items() if is_so] == [row.kind]
    if row.kind in ("function", "class"):
        assert inspect.getdoc(found)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.module}.{row.name}")
def test_what_a_name_maps_to(row: Row) -> None:
    for path in re.findall(r"`((?:networks|config_utils)\.[\w.]+)`", row.what):
        home, _, name = path.rpartition(".")
        ours = getattr(imported(home), name)
        found = getattr(imported(row.module), row.name)
        if inspect.isclass(found) and row.what.startswith(f"`{path}`"):
            assert issubclass(found, ours)
        if isinstance(found, Mapping) and "as lists" not in row.what:
            assert found is ours


def test_the_modules_have_no_name_that_is_not_on_the_page() -> None:
    root = Path(models.__file__ or "").parent
    paths = [path.relative_to(root).with_suffix("") for path in root.rglob("*.py")]
    modules = {".".join(("nas_201_models", *path.parts)).removesuffix(".__init__") for path in paths}
    ours = {"nas_201_models.builders", "nas_201_models.checkpoints"}
    assert modules - ours == {module for module in NAMES if module.startswith("nas_201_models")}
    extra = {
        (module, name)
        for module in NAMES
        for name in imported(module).__all__  # type: ignore[attr-defined]
        if name not in NAMES[module].split()
    }
    assert extra == {("config_utils", "as_config_dict")}


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'get_cell_net'"):
        _ = models.get_cell_net
    assert {"get_cifar_models", "CellStructure"} <= set(dir(models))


@pytest.mark.parametrize(
    "module", ["hwnas_surrogate", "hwnas_surrogate.config_utils", "hwnas_surrogate.nas_201_models"]
)
def test_importing_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "False\n"
    assert hwnas_surrogate.__name__ in module
