"""Tables in text files (csv, tsv): records with their header, each a place, also where a cell has several lines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from pathlib import PurePosixPath

from rag.config import Limits
from rag.documents.build import Builder
from rag.documents.decode import decode
from rag.documents.formats import shown, stem
from rag.documents.tables import Row, header_of
from rag.errors import DamagedDocument
from rag.types import ParsedDocument

SAMPLES = {"sample.csv": b"a,b\n1,2\n"}

_DELIMITERS = ",;\t|"
_MOST_CELL = 1_000_000


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """csv or tsv file to document; row 1 is the file's first record, the header as a rule.

    Raises DamagedDocument, EmptyDocument and LimitExceeded.
    """
    text = decode(data, source)
    delimiter = "\t" if PurePosixPath(source).suffix.lower() == ".tsv" else _delimiter(text)
    build = Builder(source, limits)
    csv.field_size_limit(_MOST_CELL)
    try:
        records = _records(text, delimiter)
        first = list(islice(records, 50))
        named = header_of(first)
        if named > 0:
            build.table((), first[:named], "row")
        build.table(first[named][1] if named >= 0 else (), _chain(first[named + 1 :], records), "row")
    except csv.Error as error:
        raise DamagedDocument(
            f"{shown(source)} is no table of text: {error}.", hint="Check its quotation marks, or export it anew."
        ) from error
    return build.finish(stem(source))


def _records(text: str, delimiter: str) -> Iterator[Row]:
    yield from enumerate(csv.reader(StringIO(text), delimiter=delimiter), start=1)


def _chain(first: list[Row], others: Iterator[Row]) -> Iterator[Row]:
    yield from first
    yield from others


def _delimiter(text: str) -> str:
    """The sign that splits most of the first records into the same number of cells, more than one."""
    best, chosen = 0.0, ","
    for delimiter in _DELIMITERS:
        try:
            widths = Counter(len(r) for r in islice(csv.reader(StringIO(text[:50_000]), delimiter=delimiter), 40) if r)
        except csv.Error:
            continue
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        score = (width > 1) * count / max(1, sum(widths.values())) + min(width, 50) / 1_000
        if score > best:
            best, chosen = score, delimiter
    return chosen
