"""The layers of the package: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dtopipe

PACKAGE = Path(dtopipe.__file__).parent
HEAVY = ("pydantic", "yaml", "click", "rich", "pyarrow", "asyncio", "importlib.metadata")


def test_no_package_imports_what_stands_above_or_beside_it() -> None:
    pytest.importorskip("importlinter", reason="the import rule needs the extra lint")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def _modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imported(tree: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that are named in imports, wherever in the file these stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def test_no_module_imports_one_that_imports_it_not_even_for_its_types() -> None:
    modules = _modules()
    graph = {
        name: {each for each in _imported(ast.parse(path.read_text(encoding="utf-8")), modules) if each in modules}
        for name, path in modules.items()
    }
    assert len(graph) > 300
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' -> '.join(error.args[1])}") from None


@pytest.mark.parametrize("module", ["acquirer", "gateway", "sink_worker"])
def test_no_worker_loads_what_only_topologies_need(module: str) -> None:
    """It would double the time of its start, and with it what a restart may lose."""
    code = f"import sys, dtopipe.workers.{module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
