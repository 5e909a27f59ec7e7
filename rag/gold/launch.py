"""A run as asked for on the command line, from its gold set and configuration to its outcome."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import ConfigError
from rag.gold.baseline import run_path
from rag.gold.chat import open_chat
from rag.gold.judge import Judge
from rag.gold.records import Mode, Run
from rag.gold.runner import Progress, Settings, run
from rag.gold.schema import GoldSet, load_gold
from rag.gold.workflow import Outcome, check, hold
from rag.gold.workspace import library_for
from rag.prompts import load_prompt

if TYPE_CHECKING:
    from rag.config import Config


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What ``rag gold run`` was asked for; the names are its options'."""

    gold_file: Path
    config: Config
    corpus: Path | None = None
    ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    drafts: bool = False
    mode: Mode = "live"
    recording: Path | None = None
    retrieval_only: bool = False
    k: int | None = None
    repeats: int | None = None
    noise: bool = False
    no_baseline: bool = False
    allow_corpus_change: bool = False
    no_lint: bool = False
    judge: str | None = None
    out: Path | None = None

    def gold(self) -> GoldSet:
        """The selected questions."""
        return load_gold(self.gold_file).select(self.ids, self.tags, drafts=self.drafts)

    def settings(self) -> Settings:
        """The settings of the run."""
        recording = self.recording or self.gold_file.with_name(f"{self.gold_file.stem}.recorded.jsonl")
        return Settings(
            k=self.k,
            repeats=self.repeats,
            mode=self.mode,
            recording=None if self.mode == "live" else recording,
            retrieval_only=self.retrieval_only,
            noise=self.noise,
            check=not self.no_lint,
            out=self.out or run_path(self.gold_file, retrieval_only=self.retrieval_only),
            model=self.config.llm,
        )


def launch(request: RunRequest, progress: Progress | None = None) -> Outcome:
    """Run against the baseline. Raises what ``check`` raises."""
    # Replay asks no model, so none is opened; a retrieval-only run has no use for one.
    quiet = request.mode == "replay" or request.retrieval_only
    config = request.config.with_(llm="quotes") if quiet else request.config
    with library_for(config, request.corpus) as library, ExitStack() as stack:
        judge = None
        if request.judge is not None:
            chat = stack.enter_context(open_chat(request.config, request.judge))
            judge = Judge(chat, load_prompt("judge", config.prompts))
        return check(
            request.gold(),
            library,
            request.settings(),
            use_baseline=not request.no_baseline,
            allow_corpus_change=request.allow_corpus_change,
            judge=judge,
            progress=progress,
        )


def launch_pair(request: RunRequest, a: Path, b: Path, progress: Progress | None = None) -> Outcome:
    """Run with the settings of file ``a`` on top of the configuration, then with those of ``b``, and pair the two.

    Raises ConfigError when the files change how documents are read and there is no ``corpus`` to read anew.
    """
    first = _with_settings(request, a, progress)
    second = _with_settings(request, b, progress)
    return hold(second, first, None, None, allow_corpus_change=True)


def _with_settings(request: RunRequest, path: Path, progress: Progress | None) -> Run:
    config = request.config.with_file(path)
    if request.corpus is None and reading(config) != reading(request.config):
        raise ConfigError(
            f"{path} changes how documents are cut or embedded, which a finished library cannot follow.",
            hint="Name the documents with --corpus, so that they are read anew with each settings file.",
        )
    kept = request.out or run_path(request.gold_file)
    settings = replace(request.settings(), out=kept.with_name(f"{kept.name}.{path.stem}.jsonl"), model=config.llm)
    with library_for(config, request.corpus) as library:
        return run(request.gold(), library, settings, progress=progress)


def reading(config: Config) -> tuple[object, ...]:
    """The settings that take effect when documents are read."""
    return (
        config.passage_characters, config.passage_overlap, config.embedder, config.query_prefix, config.document_prefix,
    )  # fmt: skip
