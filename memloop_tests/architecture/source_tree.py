"""Reads a package's source as syntax trees, importing nothing: what the architecture tests look at.

The rules themselves belong in the tests.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "memloop_assets"


@dataclass(frozen=True)
class Import:
    """One imported module, by its full dotted name, and the line that imports it."""

    target: str
    line: int


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, its path below the tree's root (with forward slashes) and its syntax tree."""

    name: str
    path: str
    tree: ast.Module

    @property
    def is_doorway(self) -> bool:
        """Tell whether this is a room's `assets.py`."""
        return self.path.startswith(f"{PACKAGE}/") and self.path.endswith("/assets.py")


def read_package(root: Path) -> dict[str, Module]:
    """Return every module of the package below `root`, by dotted name; a package goes by its folder's name."""
    modules = {}
    for file in sorted((root / PACKAGE).rglob("*.py")):
        path = file.relative_to(root)
        parts = path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts
        name = ".".join(parts)
        modules[name] = Module(name, path.as_posix(), ast.parse(file.read_text(encoding="utf-8"), str(path)))
    return modules


def imports_of(module: Module, known: Mapping[str, Module]) -> Iterator[Import]:
    """Yield what a module imports anywhere in its file, function bodies included.

    `from a.b import c` counts as `a.b.c` where that is a module of the tree, and as `a.b` where it is a name inside it.
    A relative import is yielded with its leading dots.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield Import(inner if inner in known else origin, node.lineno)


def write_package(root: Path, sources: Mapping[str, str]) -> dict[str, Module]:
    """Write a tiny tree for the test of a rule (path below the package to source), and read it back."""
    for path, source in sources.items():
        file = root / PACKAGE / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    return read_package(root)
