"""Arrows between folders point one way, and no module imports itself by way of others."""

import ast
import graphlib
from pathlib import Path

import infwidth

PACKAGE = Path(infwidth.__file__).parent
# From the top down: a module imports from its own folder and from those below.
ORDER = [
    "__init__",
    "estimators",
    "_inference",
    "kernels",
    "finite",
    "metrics",
    "_learning",
    "networks",
    "_engine",
    "_program",
    "activations",
    "_linalg",
    "_data",
    "_runtime",
]


def imports():
    """Each module and what it imports of the package, as names without the package's."""
    modules = {path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path for path in sorted_files()}
    found = {}
    for name, path in modules.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        own = [node.module.partition(".")[2] for node in nodes if node.module.partition(".")[0] == "infwidth"]
        found[name] = {other if other in modules else f"{other}.__init__" for other in own}
    return found


def sorted_files():
    return sorted(PACKAGE.rglob("*.py"))


def level(module):
    return ORDER.index(module.partition(".")[0])


def test_arrows_point_down():
    up = [(name, other) for name, others in imports().items() for other in others if level(other) < level(name)]
    assert not up


def test_no_cycles():
    order = list(graphlib.TopologicalSorter(imports()).static_order())  # raises where there is a cycle
    assert len(order) == len(sorted_files())


def test_files_and_functions_are_read_in_one_sitting():
    for path in sorted_files():
        text = path.read_text()
        assert text.count("\n") <= 400, path
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        for node in functions:
            assert node.end_lineno - node.lineno < 60, (path, node.name)
