"""The structure on one sheet: rooms, floors, arrows and circles of imports. ``python -m tests.house [FOLDER]`` prints
it for this tree or for a checkout elsewhere, so that two states can be laid side by side.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("rag", "ui")

Graph = Mapping[str, frozenset[str]]


def files(root: Path = ROOT) -> list[Path]:
    """Every Python file of the program, sorted by path."""
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def module_name(path: Path, root: Path = ROOT) -> str:
    """The dotted name a file is imported by."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, *, types_too: bool = True) -> Iterator[str]:
    """Every name a module imports, anywhere in it; ``from a import b`` gives both ``a`` and ``a.b``."""
    skipped: set[ast.AST] = set()
    if not types_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(root: Path = ROOT) -> Graph:
    """Which module imports which, lazy and type-only imports included. A package counts by its ``__init__``, unless
    all that is taken from it are modules of their own."""
    names = {module_name(path, root): path for path in files(root)}
    found: dict[str, frozenset[str]] = {}
    for name, path in names.items():
        wanted: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= inner & names.keys()
                if inner - names.keys():
                    wanted.add(node.module)
        found[name] = frozenset((wanted & names.keys()) - {name})
    return found


def circles(edges: Graph) -> list[tuple[str, ...]]:
    """The groups of modules that reach each other (strongly connected components of more than one), sorted."""
    reach = {name: _reachable(name, edges) for name in edges}
    groups = {frozenset(m for m in reach[name] if name in reach[m]) for name in edges if name in reach[name]}
    return sorted(tuple(sorted(group)) for group in groups)


def _reachable(start: str, edges: Graph) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += edges.get(name, ())
    return frozenset(seen)


def floors(edges: Graph, inside: str = "") -> int:
    """The length in modules of the longest way down from one module to another; a circle counts as one floor."""
    names = [n for n in edges if n == inside or n.startswith(f"{inside}.")] if inside else list(edges)
    home = {m: group for group in circles(edges) for m in group}
    heights: dict[object, int] = {}

    def height(name: str) -> int:
        key: object = home.get(name, name)
        if key not in heights:
            heights[key] = 0
            group = home.get(name, (name,))
            below = {other for member in group for other in edges[member] if other in names and other not in group}
            heights[key] = 1 + max((height(other) for other in below), default=0)
        return heights[key]

    return max((height(name) for name in names), default=0)


def room(module: str) -> str:
    """The room a module stands in: its folder within the package, or the package itself."""
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else parts[0]


def sheet(root: Path = ROOT) -> str:
    """The whole sheet as text."""
    edges = graph(root)
    packages = {module_name(p, root) for p in files(root) if p.name == "__init__.py"}
    lines: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for path in files(root):
        name = module_name(path, root)
        place = name if name in packages and name.count(".") == 1 else room(name)
        lines[place] += path.read_text(encoding="utf-8").count("\n")
        modules[place] += 1
    arrows = sum(len(to) for to in edges.values())
    rows = [f"{'room':<16} {'files':>5} {'lines':>6} {'floors':>6}"]
    for place in sorted(lines):
        inside = floors(edges, place) if "." in place else 0
        rows.append(f"{place:<16} {modules[place]:>5} {lines[place]:>6} {inside or '':>6}")
    rows.append(f"{'all':<16} {sum(modules.values()):>5} {sum(lines.values()):>6} {floors(edges):>6}")
    rows.append(f"arrows {arrows}")
    found = circles(edges)
    rows.append(f"circles {len(found)}")
    rows += [f"  {', '.join(group)}" for group in found]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(sheet(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT) + "\n")
