"""JSON: records as tables or as lines of names and values, each with its path; notebooks cell by cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from rag.config import Limits
from rag.documents.build import Builder
from rag.documents.decode import canonical, decode
from rag.documents.formats import shown, stem
from rag.documents.readers import markdown
from rag.errors import DamagedDocument
from rag.types import ParsedDocument

SAMPLES = {"sample.json": b'{"a": [1, {"b": "c"}]}'}

_SHORT = 200


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """json, jsonl or ipynb file to document. Raises DamagedDocument, EmptyDocument and LimitExceeded."""
    text = decode(data, source)
    suffix = PurePosixPath(source).suffix.lower()
    build = Builder(source, limits)
    if suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                start = build.end
                build.write(_inline(_load(line, source, f", line {number}")))
                build.place("line", number, start)
        return build.finish(stem(source))
    value = _load(text, source)
    if suffix == ".ipynb":
        _notebook(build, value, source)
        return build.finish()
    _value(build, value)
    return build.finish(stem(source))


def _load(text: str, source: str, where: str = "") -> Any:
    try:
        # numbers as they are written: 1.50 is no 1.5, and twenty digits are no float
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise DamagedDocument(
            f"{shown(source)}{where} is no JSON: {error.msg}.",
            hint="Mend it, or give the file the suffix of what it is.",
        ) from error


def _value(build: Builder, top: Any) -> None:
    """Each object or list becomes a block of its plain values, and what is in it follows. What has a name is headed by
    its path, a record of a list only where it holds more than values, or stands below another's heading."""
    waiting: list[tuple[str, int, Any]] = [("", 0, top)]
    above = ""
    while waiting:
        path, depth, value = waiting.pop()
        flat, deep = _parted(value)
        start = build.end
        below_it = not above or path.startswith((f"{above}.", f"{above}["))
        if path and (deep or not path.endswith("]") or not below_it):
            build.heading(depth, path)
            above = path
        build.write("\n".join(f"{name}: {_plain(item)}" if name else _plain(item) for name, item in flat))
        if path and build.end != start:
            build.place("key", 1, start, path)
        below = isinstance(value, Sequence)
        waiting += [
            (f"{path}[{name}]" if below else f"{path}.{name}" if path else name, depth + 1, item)
            for name, item in reversed(deep)
        ]


def _parted(value: Any) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """What an object or list holds of plain values, and of objects and lists."""
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        return [("", value)], []
    flat = [(name if isinstance(value, Mapping) else "", item) for name, item in items if _is_plain(item)]
    return flat, [(name, item) for name, item in items if not _is_plain(item)]


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return sum(1 + len(str(item)) for item in value[:_SHORT]) <= _SHORT and not any(
            isinstance(item, list | dict) for item in value
        )
    return not isinstance(value, dict) or not value


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "[]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _inline(value: Any) -> str:
    """A record on one line."""
    parts: list[str] = []
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, item = waiting.pop()
        flat, deep = _parted(item)
        named = ((f"{path}{name}".rstrip("."), v) for name, v in flat)
        parts += [f"{name}: {_plain(v)}" if name else _plain(v) for name, v in named]
        waiting += [(f"{path}{name}.", v) for name, v in reversed(deep)]
    return " ".join("; ".join(parts).split())


def _notebook(build: Builder, value: Any, source: str) -> None:
    cells = value.get("cells") if isinstance(value, dict) else None
    if not isinstance(cells, list):
        raise DamagedDocument(f"{shown(source)} is no notebook: it has no cells.", hint="Save it anew.")
    for number, cell in enumerate((c for c in cells if isinstance(c, dict)), start=1):
        start = build.end
        text = _joined(cell.get("source"))
        if cell.get("cell_type") == "markdown":
            build.section(text, list(markdown.headings(text)))
        else:
            build.write(text)
            for output in _outputs(cell):
                build.write(output)
        if build.end != start:
            build.place("cell", number, start)


def _outputs(cell: Mapping[str, Any]) -> Iterator[str]:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        if isinstance(output, dict):
            data = output.get("data")
            yield _joined(output.get("text") or (data.get("text/plain") if isinstance(data, dict) else ""))
            if output.get("output_type") == "error":
                yield f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"


def _joined(source: Any) -> str:
    parts = source if isinstance(source, list) else [source]
    return canonical("".join(part for part in parts if isinstance(part, str)))
