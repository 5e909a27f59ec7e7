"""Runs on disk: JSON lines, appended as questions are answered, so that an interrupted run can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

from rag.errors import GoldError
from rag.gold.files import unwritable
from rag.gold.plain import from_plain
from rag.gold.records import Noise, Record, Run
from rag.types import to_plain

VERSION = 1
_BULK = ("records", "passages", "finished", "noise")


@dataclass(slots=True)
class RunWriter:
    """Appends a run to ``path``: a header, then each record with the texts of its new passages, then the end.

    A record is written in one piece and flushed; what a kill leaves behind is a run with fewer records.
    """

    path: Path
    _file: IO[str]
    _known: set[str]

    @classmethod
    def start(cls, path: Path, header: Run) -> RunWriter:
        """Begin a new file. Raises GoldError when it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise unwritable(path, error) from error
        writer = cls(path, file, set())
        writer._write(_header(header))
        return writer

    def add(self, record: Record, passages: Mapping[str, str]) -> None:
        """Append a record."""
        lines = [{"kind": "passage", "key": k, "text": t} for k, t in passages.items() if k not in self._known]
        self._known.update(passages)
        self._write(*lines, {"kind": "record", **to_plain(record)})

    def finish(self, finished: float, noise: Noise | None) -> None:
        """Append the end and close."""
        self._write({"kind": "end", "finished": finished, "noise": to_plain(noise)})
        self.close()

    def close(self) -> None:
        """Close; without ``finish`` the run counts as interrupted."""
        # All was flushed line by line, so what fails now has been told already.
        with suppress(OSError):
            self._file.close()

    def _write(self, *lines: Mapping[str, Any]) -> None:
        try:
            self._file.write("".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines))
            self._file.flush()
        except OSError as error:
            self.close()
            raise unwritable(self.path, error) from error


def write_run(path: Path, run: Run) -> None:
    """Write a whole run in one step: the old file stays until the new one is complete."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    writer = RunWriter.start(part, run)
    try:
        for record in run.records:
            writer.add(record, passages_of([record], run.passages))
        writer.finish(run.finished, run.noise)
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        writer.close()
        part.unlink(missing_ok=True)


def keys_of(record: Record) -> Iterator[str]:
    """The keys of the passages a record speaks of."""
    yield from (found.key for found in record.ranking)
    if record.reply is not None:
        yield from (citation.passage for citation in record.reply.citations)


def read_run(path: Path, *, interrupted: bool = False) -> Run:
    """Read a run. Raises GoldError naming file and line when it is damaged, and, unless ``interrupted`` runs are
    wanted too, when it has no end."""
    lines = _lines(path)
    header = next(lines, None)
    if header is None or header.get("kind") != "run" or header.get("version") != VERSION:
        raise GoldError(
            f"{path} is no run of this program, or of another version of it.", hint="Make one with `rag gold run`."
        )
    run = from_plain(Run, {**header, "records": ()})
    records: list[Record] = []
    passages: dict[str, str] = {}
    end: Mapping[str, Any] | None = None
    for line in lines:
        if line["kind"] == "passage":
            passages[str(line.get("key"))] = str(line.get("text"))
        elif line["kind"] == "record":
            records.append(from_plain(Record, line))
        else:
            end = line
    if end is None and not interrupted:
        raise GoldError(f"The run {path} was interrupted.", hint="Run the same command again; it goes on from there.")
    noise = from_plain(Noise, end["noise"]) if end and end.get("noise") else None
    finished = from_plain(float, end.get("finished")) if end else 0.0
    return replace(run, records=tuple(records), passages=passages, finished=finished, noise=noise)


def _header(run: Run) -> dict[str, Any]:
    kept = {f.name: to_plain(getattr(run, f.name)) for f in fields(Run) if f.name not in _BULK}
    return {"kind": "run", "version": VERSION, **kept}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in json_lines(path, "run", "Make one with `rag gold run`."):
        if line.get("kind") not in ("run", "passage", "record", "end"):
            raise _damaged(path, number)
        yield line


def json_lines(path: Path, what: str, hint: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines with their numbers, from 1. Raises GoldError when it cannot be read (saying
    that it is a ``what``, with ``hint``), and at a line that is damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GoldError(f"Cannot read the {what} {path}: {error.strerror}.", hint=hint) from error
    rows = data.split(b"\n")
    # What follows the last line break is empty, or a line that a kill cut off.
    for number, row in enumerate(rows[:-1], 1):
        try:
            line = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, number) from error
        if not isinstance(line, dict):
            raise _damaged(path, number)
        yield number, line


def _damaged(path: Path, number: int) -> GoldError:
    return GoldError(f"{path}:{number}: the line is damaged.", hint="Remove the file and make it again.")


def passages_of(records: Iterable[Record], texts: Mapping[str, str]) -> dict[str, str]:
    """Those of ``texts`` that the records speak of."""
    return {key: texts[key] for record in records for key in keys_of(record) if key in texts}
