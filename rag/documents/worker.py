"""The other end of the sandbox: what has the parsers loaded, and the child that parses one file, confined before it
looks at a byte."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module

from rag.config import Limits
from rag.documents import wire
from rag.documents.decode import CODECS
from rag.documents.formats import FORMATS, PICTURE, Format, format_of, formats, shown
from rag.documents.ocr import Line, Read
from rag.documents.ocr import load as load_engine
from rag.documents.split import Span, split
from rag.errors import DamagedDocument, DocumentError, LimitExceeded, ParserCrashed
from rag.platform.apart import Stream
from rag.platform.children import serve
from rag.platform.confine import confine
from rag.types import ParsedDocument

_ALWAYS = 3
"""So many formats, those that load in no time, are loaded at the start; the others with their first file."""


def parse(data: bytes, job: wire.Job) -> tuple[ParsedDocument, list[Span]]:
    """Parse and split one file, in this process. Raises DocumentError."""
    read = _reader(format_of(job.source))
    document: ParsedDocument = (
        read(data, job.source, job.limits)
        if job.recognised is None
        else read(data, job.source, job.limits, recognised=job.recognised)
    )
    spans = split(document, characters=job.characters, overlap=job.overlap)
    most = job.limits.passages
    if len(spans) > most:
        raise LimitExceeded(
            f"{shown(job.source)} makes {len(spans):,} passages; the limit is {most:,} (limits.passages).",
            hint="Split the file, or raise limits.passages or passage_characters.",
        )
    return document, spans


def recognise(data: bytes, job: wire.Job, read: Read) -> list[Line]:
    """The lines on page ``job.page``, boxes in the file's own pixels or points. Raises DocumentError."""
    module = import_module(format_of(job.source).reader.partition(":")[0])
    picture, scale = module.picture(data, job.source, job.page, job.limits)
    return [line.scaled(scale) for line in read(picture)]


def _reader(kind: Format) -> Callable[..., ParsedDocument]:
    module, _, function = kind.reader.partition(":")
    reader: Callable[..., ParsedDocument] = getattr(import_module(module), function)
    return reader


def _warm_up(kind: Format) -> None:
    """Load all that reading this format needs, since a child can open no file: its ``warm_up``, its ``SAMPLES``."""
    module = import_module(kind.reader.partition(":")[0])
    getattr(module, "warm_up", lambda: None)()
    for source, data in getattr(module, "SAMPLES", {}).items():
        parse(data() if callable(data) else data, wire.Job(source, Limits(), 1_000, 100))


def main() -> None:
    """Serve the parser pool that started this process, until it is gone.

    With the name of an engine for text recognition and its languages as arguments, it is loaded too.
    """
    warm = set(FORMATS[:_ALWAYS])
    engine: list[Read] = []

    def prepare() -> None:
        for name in CODECS:
            import_module(f"encodings.{name}")
        for kind in FORMATS[:_ALWAYS]:
            _warm_up(kind)
        engine.extend(_engine(*sys.argv[3:]))

    def load(number: int) -> None:
        """Load a format; one that cannot be loaded is left to the child, which tells why."""
        kind = formats()[number]
        if kind not in warm:
            warm.add(kind)
            with suppress(Exception):
                _warm_up(kind)

    serve(prepare, load, lambda stream: _work(stream, engine))


def _engine(name: str = "", languages: str = "") -> list[Read]:
    if not name:
        return []
    read = load_engine(name, languages)
    pictures = next(kind for kind in FORMATS if kind.media_type == PICTURE)
    module = import_module(pictures.reader.partition(":")[0])
    module.warm_up()
    read(module.sample())
    return [read]


def _work(stream: Stream, engine: Sequence[Read]) -> None:
    """Parse the file that comes on the stream, or recognise a page of it."""
    header, body = wire.receive(stream, sys.maxsize)
    data = bytes(body)
    del body
    job = wire.job_from_header(header)
    confine(job.limits)
    wire.send(stream, *_answer(data, job, engine))


def _answer(data: bytes, job: wire.Job, engine: Sequence[Read]) -> tuple[dict[str, object], bytes]:
    """The reply to a job: a document, or a refusal; also for what no parser may raise, by the name of the error."""
    try:
        if job.page and engine:
            return {"lines": wire.lines_to_rows(recognise(data, job, engine[0]))}, b""
        document, spans = parse(data, job)
        return wire.document_to_header(document, spans), wire.document_to_body(document)
    except DocumentError as error:
        return wire.error_to_header(error), b""
    except RecursionError:
        reason = "is nested deeper than any file that people make"
        damaged = DamagedDocument(f"{shown(job.source)} {reason}.", hint="Do not trust the file; save it anew.")
        return wire.error_to_header(damaged), b""
    except MemoryError:
        reason = f"needs more than {job.limits.child_memory_mb:,} MB of memory (limits.child_memory_mb)"
        hint = "Split the file, or raise limits.child_memory_mb."
    except BaseException as error:  # noqa: BLE001 - the process ends here; a Rust panic is no Exception
        reason = f"made its parser fail ({type(error).__name__}: {str(error)[:200]})"
        hint = "Check that the file opens elsewhere; save it in another format and add that."
    return wire.error_to_header(ParserCrashed(f"{shown(job.source)} {reason}.", hint=hint)), b""
