"""Settings tried on a gold set: asked for their probabilities and candidates, or every combination run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from rag.config import Config
from rag.errors import ConfigError
from rag.gold.commands.asking import Progress, Settings, run
from rag.gold.commands.gate import fill, reading
from rag.gold.files.disk import unwritable
from rag.gold.files.lint import require_valid
from rag.gold.files.runs import read_run
from rag.gold.metrics.matching import Backend, LibraryCorpus
from rag.gold.metrics.tuning import Decision, Fit, Point, Ranked, fit_threshold, fit_weight
from rag.gold.types import GoldSet, Run, digest

if TYPE_CHECKING:
    from rag.library import Library


def calibrate(
    gold: GoldSet, library: Library, *, fusion: bool = False, progress: Progress | None = None
) -> tuple[Fit, ...]:
    """Fit ``abstain_below`` and, if asked, ``fusion_weight`` for the library's collection; writes nothing.

    Raises GoldError when the gold set is too small or does not fit the documents.
    """
    from rag.answer.abstain import DEFAULT_THRESHOLD

    config, settings = library.config, library.collections.settings()
    require_valid(gold, LibraryCorpus(library))
    stored = float(settings.get("abstain_below", DEFAULT_THRESHOLD))
    old = config.abstain_below if config.abstain_below >= 0 else stored
    fits = [fit_threshold(decisions(gold, library, progress), old)]
    if fusion:
        weight = float(settings.get("fusion_weight", config.fusion_weight))
        found = candidates(gold, library, config.candidates, progress)
        fits.append(fit_weight(found, library, weight, document_weight=config.document_weight))
    return tuple(fits)


def decisions(gold: GoldSet, backend: Backend, progress: Progress | None = None) -> list[Decision]:
    """Ask every question for its probability. A backend that quotes is enough, and quick: no model decides here."""
    found: list[Decision] = []
    for number, question in enumerate(gold.questions, 1):
        answer = backend.ask(question.question, history=question.turns)
        found.append(Decision(question.id, answer.probability, not question.unanswerable))
        if progress is not None:
            progress(number, len(gold.questions), question.id)
    return found


def candidates(gold: GoldSet, backend: Backend, count: int, progress: Progress | None = None) -> list[Ranked]:
    """The ``count`` best passages of every question that has a gold source. A follow-up is searched as it is asked."""
    asked = [question for question in gold.questions if question.sources]
    found: list[Ranked] = []
    for number, question in enumerate(asked, 1):
        found.append(Ranked(question, backend.search(question.question, count)))
        if progress is not None:
            progress(number, len(asked), question.id)
    return found


def grid(base: Config, choices: Sequence[str]) -> list[tuple[str, Mapping[str, str], Config]]:
    """Every combination of ``name=value,value`` choices as name, settings and configuration.

    Raises ConfigError for an unknown setting or a value that does not fit it.
    """
    axes: list[tuple[str, list[str]]] = []
    known = [f.name for f in fields(Config) if f.name not in ("limits", "library")]
    for choice in choices:
        name, equals, values = choice.partition("=")
        if name not in known or not equals or not values:
            close = get_close_matches(name, known, n=1)
            raise ConfigError(
                f"'{choice}' is no choice of a setting.",
                hint=f"Write {close[0] if close else 'top_k'}=4,6,8 with one of the settings of the README.",
            )
        axes.append((name, [value.strip() for value in values.split(",")]))
    combinations = product(*([(name, value) for value in values] for name, values in axes))
    return [
        (
            " ".join(f"{name}={value}" for name, value in settings) or "as configured",
            dict(settings),
            base.with_(**dict(settings)),
        )
        for settings in combinations
    ]


def sweep(
    gold: GoldSet,
    base: Config,
    choices: Sequence[str],
    work: Path,
    *,
    corpus: Path,
    settings: Settings | None = None,
    progress: Progress | None = None,
    step: Callable[[str], None] | None = None,
) -> list[Point]:
    """Run ``gold`` with every combination of ``choices``; ``step`` is told the name of each before it starts.

    Libraries (one for each way of reading ``corpus``) and runs are kept in ``work``, so that an interrupted sweep goes
    on where it stopped and a finished one is read back. Raises GoldError when ``work`` cannot be written.
    """
    from rag.library import Library

    points: list[Point] = []
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(work, error) from error
    for name, varied, config in grid(base, choices):
        if step is not None:
            step(name)
        folder = work / f"library-{digest(reading(config))[:12]}"
        with Library.open(folder, config=config) as library:
            fill(library, corpus)
            points.append(Point(name, varied, _swept(gold, library, work, name, settings or Settings(), progress)))
    return points


def _swept(
    gold: GoldSet, library: Library, work: Path, name: str, settings: Settings, progress: Progress | None
) -> Run:
    # The texts behind the settings (documents, prompts, models) are in the fingerprint, the settings themselves here.
    config = {name: value for name, value in asdict(library.config).items() if name != "library"}
    asked = [gold.sha256, [q.id for q in gold.questions], settings.k, settings.repeats, settings.retrieval_only]
    key = digest([library.fingerprint(), config, *asked])
    path = work / f"run-{key[:16]}.jsonl"
    if path.is_file() and not (earlier := read_run(path)).errors:
        return earlier
    return run(gold, library, replace(settings, out=path, model=library.config.llm), progress=progress)
