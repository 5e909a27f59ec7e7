"""The other end of the sandbox: what has the parsers loaded, and the child that parses one file, confined before it
looks at a byte."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from rag.config import Limits
from rag.documents import wire
from rag.documents.decode import CODECS
from rag.documents.formats import FORMATS, Format, format_of, formats, shown
from rag.documents.split import Span, split
from rag.errors import DamagedDocument, DocumentError, LimitExceeded, ParserCrashed
from rag.platform.apart import Stream
from rag.platform.children import serve
from rag.platform.confine import confine
from rag.types import ParsedDocument

_ALWAYS = 4
"""So many formats, the commonest, are loaded at the start; the others with their first file."""


def parse(data: bytes, job: wire.Job) -> tuple[ParsedDocument, list[Span]]:
    """Parse and split one file, in this process. Raises DocumentError."""
    document: ParsedDocument = _reader(format_of(job.source))(data, job.source, job.limits)
    spans = split(document, characters=job.characters, overlap=job.overlap)
    most = job.limits.passages
    if len(spans) > most:
        raise LimitExceeded(
            f"{shown(job.source)} makes {len(spans):,} passages; the limit is {most:,} (limits.passages).",
            hint="Split the file, or raise limits.passages or passage_characters.",
        )
    return document, spans


def _reader(kind: Format) -> Callable[[bytes, str, Limits], ParsedDocument]:
    module, _, function = kind.reader.partition(":")
    reader: Callable[[bytes, str, Limits], ParsedDocument] = getattr(import_module(module), function)
    return reader


def _warm_up(kind: Format) -> None:
    """Load all that reading this format needs, since a child can open no file: read the reader's own ``SAMPLES``."""
    module = import_module(kind.reader.partition(":")[0])
    for source, data in getattr(module, "SAMPLES", {}).items():
        parse(data() if callable(data) else data, wire.Job(source, Limits(), 1_000, 100))


def main() -> None:
    """Serve the parser pool that started this process, until it is gone."""
    warm = set(FORMATS[:_ALWAYS])

    def prepare() -> None:
        for name in CODECS:
            import_module(f"encodings.{name}")
        for kind in FORMATS[:_ALWAYS]:
            _warm_up(kind)

    def load(number: int) -> None:
        """Load a format; one that cannot be loaded is left to the child, which tells why."""
        kind = formats()[number]
        if kind not in warm:
            warm.add(kind)
            with suppress(Exception):
                _warm_up(kind)

    serve(prepare, load, _work)


def _work(stream: Stream) -> None:
    """Parse the file that comes on the stream."""
    header, data = wire.receive(stream, sys.maxsize)
    job = wire.job_from_header(header)
    confine(job.limits)
    wire.send(stream, *_answer(data, job))


def _answer(data: bytes, job: wire.Job) -> tuple[dict[str, object], bytes]:
    """The reply to a job: a document, or a refusal; also for what no parser may raise, by the name of the error."""
    try:
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
