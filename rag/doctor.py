"""``rag doctor``: what is there, what is wrong, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from rag.config import Config
from rag.errors import RagError
from rag.models.choose import choose_llm, server_facts
from rag.models.families import recommended_lines
from rag.store.database import FILE_NAME
from rag.store.lock import WriterLock
from rag.store.truth import Truth
from rag.store.vectors import DenseIndex
from rag.types import Check

_LOW_DISK_MB = 500


def diagnose(config: Config) -> tuple[Check, ...]:
    """Examine the configured library and the models; never raises for what it finds."""
    from rag.library import Library

    if not (config.library_path / FILE_NAME).is_file():
        missing = Check(
            "library", "warn", f"There is none in {config.library_path} yet.", "Make one: `rag ingest FOLDER`."
        )
        return (missing, *_surroundings(config))
    try:
        with Library.open(config=config) as library:
            return library.doctor()
    except RagError as error:
        return (Check("library", "bad", str(error), error.hint), *_surroundings(config))


def examine(config: Config, truth: Truth, dense: DenseIndex, writer: bool) -> tuple[Check, ...]:
    """The checks of an open library and of what is around it."""
    return (*_library(config, truth, dense, writer), *_surroundings(config))


def _library(config: Config, truth: Truth, dense: DenseIndex, writer: bool) -> Iterator[Check]:
    facts = truth.facts()
    documents = sum(c.documents for c in facts.collections)
    passages = sum(c.passages for c in facts.collections)
    role = "this process may write" if writer else f"open for reading; {_writer(config.library_path)}"
    yield Check(
        "library",
        "ok",
        f"{config.library_path}: {documents} documents, {passages} passages, {facts.bytes / 1e6:.1f} MB; {role}.",
    )
    if facts.problems:
        yield Check("database", "bad", "; ".join(facts.problems), "Restore the folder from a backup.")
    else:
        yield Check("database", "ok", f"SQLite {facts.sqlite_version}, journal mode {facts.journal}, intact.")
    empty = sum(d.empty_pages for c in truth.collections() for d in truth.documents(c.id))
    if empty:
        yield Check(
            "pages", "warn", f"{empty} pages have no text and cannot be searched.", "Run the files through OCR first."
        )
    for collection in truth.collections():
        report = dense.audit(collection)
        message = (
            f"{collection.name}: {report.describe()}; embedder {collection.embedder.name}; "
            f"search is {dense.state(collection)}."
        )
        yield Check("index", "ok" if report.ok else "warn", message, "" if report.ok else report.hint)
    for item in facts.collections:
        if item.unfinished_generations:
            yield Check("reindex", "warn", f"{item.name}: a reindex is unfinished.", "Finish it: `rag reindex`.")


def _writer(folder: Path) -> str:
    holder = WriterLock.holder(folder)
    return f"{holder.program} (process {holder.pid}) writes to it" if holder else "nobody writes to it"


def _surroundings(config: Config) -> Iterator[Check]:
    yield _disk(config.library_path)
    facts = server_facts(config)
    if facts.reachable:
        names = ", ".join(m.name for m in facts.models) or "none"
        message = f"{facts.base_url}, version {facts.version}; models: {names}."
        if facts.local:
            yield Check("ollama", "ok", message)
        else:
            yield Check("ollama", "warn", message, "It is another machine: what a model reads, that machine sees.")
    else:
        yield Check("ollama", "warn", facts.error, facts.hint)
    try:
        llm, choice = choose_llm(config)
    except RagError as error:
        yield Check("model", "bad", str(error), error.hint)
        return
    hint = "" if llm is not None else _recommendation()
    yield Check("model", "ok" if llm is not None else "warn", choice.reason, hint)


def _disk(folder: Path) -> Check:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free / 1e6
    if free < _LOW_DISK_MB:
        return Check("disk", "bad", f"Only {free:.0f} MB are free at {existing}.", "Free some space.")
    return Check("disk", "ok", f"{free / 1000:.1f} GB free.")


def _recommendation() -> str:
    return "\n".join(
        ("For written answers install Ollama and, by the machine's memory, one of these:", *recommended_lines())
    )
