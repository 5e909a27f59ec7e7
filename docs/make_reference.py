"""Write ``docs/reference.md`` from the docstrings: ``python docs/make_reference.py`` (``--check`` only compares)."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path

TARGET = Path(__file__).parent / "reference.md"
CHAPTERS = (
    ("rag", "The front door: `from rag import ...`"),
    ("rag.gold", "The gold set: `from rag.gold import ...`"),
    ("rag.errors", "Errors: everything raised on purpose is a `RagError`"),
)


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference",
        "Written from the docstrings by `python docs/make_reference.py`; a test keeps it equal to them.",
    ]
    for module_name, title in CHAPTERS:
        module = import_module(module_name)
        parts.append(f"## {title}")
        for name in _public(module):
            parts += _entry(name, getattr(module, name))
    return "\n\n".join(parts) + "\n"


def _public(module: object) -> list[str]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return [name for name in sorted(listed) if not name.startswith("_")]
    return [name for name, value in vars(module).items() if inspect.isclass(value) and not name.startswith("_")]


def _entry(name: str, value: object) -> Iterator[str]:
    if inspect.isclass(value):
        bases = [base.__name__ for base in value.__bases__ if base.__module__.startswith("rag")]
        yield f"### `{name}({', '.join(bases)})`" if bases else f"### `{name}`"
        yield _text(value)
        if is_dataclass(value):
            yield "Fields: " + ", ".join(f"`{f.name}: {f.type}`" for f in fields(value) if not f.name.startswith("_"))
        elif issubclass(value, Enum):
            yield "Values: " + ", ".join(f"`{member.value}`" for member in value)
        yield from _members(value)
    elif callable(value):
        yield f"### `{name}{_signature(value)}`"
        yield _text(value)


def _members(owner: type) -> Iterator[str]:
    """The public methods and properties that the class itself defines, in the order of the source."""
    data = {f.name for f in fields(owner)} if is_dataclass(owner) else set()
    for name, raw in vars(owner).items():
        if name.startswith("_") or name in data:
            continue
        member = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
        if isinstance(member, property) and member.fget is not None:
            yield f"**`.{name}`** {_returns(member.fget)}".rstrip() + f"  \n{_text(member)}"
        elif inspect.isfunction(member):
            yield f"**`.{name}{_signature(member)}`**  \n{_text(member)}"


def _signature(value: object) -> str:
    assert callable(value)
    signature = inspect.signature(value)
    kept = [p for name, p in signature.parameters.items() if name not in ("self", "cls")]
    return str(signature.replace(parameters=kept)).replace("'", "")


def _returns(getter: object) -> str:
    annotation = getattr(getter, "__annotations__", {}).get("return", "")
    return f"`-> {annotation}`" if annotation else ""


def _text(value: object) -> str:
    text = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    return text.replace("``", "`")


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` say whether it is what the docstrings say."""
    text = reference()
    if arguments == ["--check"]:
        same = TARGET.exists() and TARGET.read_text(encoding="utf-8") == text
        sys.stdout.write("" if same else f"{TARGET.name} is not what the docstrings say: run {Path(__file__).name}\n")
        return 0 if same else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
