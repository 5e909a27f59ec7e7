"""What a sheet says beside its cells' values: which rows and columns are hidden, what was remarked on which cell."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from rag.documents.archive import Archive, local

_HIDDEN_ROW = re.compile(rb'<(?:\w+:)?row\b(?=[^>]*\shidden="(?:1|true)")(?=[^>]*\sr="(\d{1,7})")')
_HIDDEN_COLUMNS = re.compile(
    rb'<(?:\w+:)?col\b(?=[^>]*\shidden="(?:1|true)")(?=[^>]*\smin="(\d{1,5})")(?=[^>]*\smax="(\d{1,5})")'
)


@dataclass(frozen=True, slots=True)
class Marks:
    """``hidden`` for a sheet that is not shown, ``rows`` that are not, by number, and ``columns``, from 0; and each
    remark after its cell."""

    hidden: bool = False
    rows: frozenset[int] = frozenset()
    columns: frozenset[int] = frozenset()
    remarks: tuple[tuple[str, str], ...] = ()


NO_MARKS = Marks()


def of_sheet(archive: Archive, part: str, *, hidden: bool) -> Marks:
    """The marks of a sheet of an xlsx, which is ``part`` of the archive. Raises DamagedDocument."""
    if part not in archive.names:
        return Marks(hidden)
    sheet = archive.read(part)
    rows = frozenset(map(int, _HIDDEN_ROW.findall(sheet)))
    columns = frozenset(n for first, last in _HIDDEN_COLUMNS.findall(sheet) for n in range(int(first) - 1, int(last)))
    remarks: dict[str, str] = {}
    # What was said in a thread is there twice, the second time behind words of the program's own.
    for kind in ("/comments", "/threadedComment"):
        told: dict[str, str] = {}
        for name in _related(archive, part, kind):
            for element in archive.xml(name).iter():
                if local(element.tag) in ("comment", "threadedComment") and (text := _text(element)):
                    cell = element.get("ref", "")
                    told[cell] = f"{told[cell]}\n{text}" if cell in told else text
        remarks |= told
    return Marks(hidden, rows, columns, tuple(remarks.items()))


def _text(remark: Element) -> str:
    words = (e.text or "" for e in remark.iter() if local(e.tag) == "t" or (local(e.tag) == "text" and not len(e)))
    return "".join(words).strip()


def _related(archive: Archive, part: str, kind: str) -> list[str]:
    """The parts of a kind that a part refers to."""
    folder, name = posixpath.split(part)
    relations = f"{folder}/_rels/{name}.rels"
    found: list[Mapping[str, str]] = (
        [e.attrib for e in archive.xml(relations)] if relations in archive.names else []
    )  # fmt: skip
    targets = [e.get("Target", "") for e in found if e.get("Type", "").endswith(kind)]
    names = (t[1:] if t.startswith("/") else posixpath.normpath(posixpath.join(folder, t)) for t in targets)
    return [name for name in names if name in archive.names]
