"""The package as a whole: light to import, every public name there and told about."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import hwnas_surrogate
import hwnas_surrogate.devices
import hwnas_surrogate.evaluation
import hwnas_surrogate.report
import hwnas_surrogate.search

ROOT = Path(hwnas_surrogate.__file__).parent
HEAVY = ("numpy", "pandas", "pyarrow", "scipy", "sklearn", "torch", "xgboost")
MODULES = sorted(
    path.relative_to(ROOT.parent)
    for path in ROOT.rglob("*.py")
    if not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(ROOT).parts)
)


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(child.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_after("import hwnas_surrogate; dir(hwnas_surrogate); hwnas_surrogate.__version__")
    assert "hwnas_surrogate" in loaded
    assert not loaded & set(HEAVY)


def test_spaces_load_neither_torch_nor_tables() -> None:
    loaded = loaded_after("from hwnas_surrogate import get_space; get_space('nasbench201')")
    assert "numpy" in loaded
    assert not loaded & {"pandas", "pyarrow", "sklearn", "torch", "xgboost"}


def lazy_homes(package: ModuleType) -> dict[str, str]:
    return {name: module for module, names in package._MODULES.items() for name in names}


LAZY = (
    hwnas_surrogate,
    hwnas_surrogate.devices,
    hwnas_surrogate.evaluation,
    hwnas_surrogate.report,
    hwnas_surrogate.search,
)
NAMES = [(package, name, module) for package in LAZY for name, module in lazy_homes(package).items()]


@pytest.mark.parametrize(("package", "name", "module"), NAMES, ids=[name for _, name, _ in NAMES])
def test_every_lazy_name_resolves_to_what_its_home_has(package: ModuleType, name: str, module: str) -> None:
    resolved = getattr(package, name)
    assert resolved is getattr(importlib.import_module(f"{package.__name__}.{module}"), name)
    assert resolved.__name__ == name
    assert resolved.__doc__


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_no_lazy_name_is_that_of_a_module(package: ModuleType) -> None:
    modules = {path.stem for path in Path(*package.__path__).iterdir()}
    assert not modules & set(lazy_homes(package))


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_the_names_are_sorted_single_and_in_dir(package: ModuleType) -> None:
    names = package.__all__
    assert names == sorted(set(names))
    assert set(lazy_homes(package)) <= set(names) <= set(dir(package))
    assert "__name__" in dir(package)


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_type_checkers_see_the_same_names(package: ModuleType) -> None:
    tree = ast.parse(Path(package.__file__ or "").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.name: node.module.rpartition(".")[2]
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }
    assert homes == lazy_homes(package)


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_star_import_gives_the_public_names(package: ModuleType) -> None:
    names: dict[str, object] = {}
    exec(f"from {package.__name__} import *", names)
    assert set(package.__all__) <= set(names)


def test_how_devices_correlate_needs_no_scikit_learn() -> None:
    loaded = loaded_after("from hwnas_surrogate.devices import correlation; assert callable(correlation)")
    assert "pandas" in loaded
    assert not loaded & {"sklearn", "torch", "xgboost"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'hwnas_surrogate' has no attribute 'Surrogates'"):
        _ = hwnas_surrogate.Surrogates
    assert not hasattr(hwnas_surrogate, "torch")


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_public_module_has_a_docstring(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT.parent / path).read_text()))
    assert docstring
    assert docstring.strip().endswith(".") or "\n" in docstring


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_imports_a_private_name_of_another(path: Path) -> None:
    imports = [
        node for node in ast.walk(ast.parse((ROOT.parent / path).read_text())) if isinstance(node, ast.ImportFrom)
    ]
    ours = [node for node in imports if (node.module or "").startswith(ROOT.name)]
    assert [alias.name for node in ours for alias in node.names if alias.name.startswith("_")] == []


@pytest.mark.parametrize("package", sorted(path.parent.name for path in ROOT.glob("*/__init__.py")))
def test_the_names_of_every_sub_package_resolve(package: str) -> None:
    module = importlib.import_module(f"hwnas_surrogate.{package}")
    names = module.__all__
    assert len(names) == len(set(names)) > 0
    assert all(hasattr(module, name) for name in names)


def test_the_version_is_the_installed_one() -> None:
    assert hwnas_surrogate.__version__ == version("hwnas-surrogate")


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").exists()
