"""Many configurations over one gold set: each figure with its interval, and a winner only where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from html import escape
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from rag.config import Config
from rag.errors import ConfigError
from rag.gold.catalog import known_names, metric
from rag.gold.charts import scatter_chart
from rag.gold.comparison import pass_rate
from rag.gold.files import unwritable
from rag.gold.fingerprint import digest
from rag.gold.html_page import html_page
from rag.gold.launch import reading
from rag.gold.records import Run
from rag.gold.runfile import read_run
from rag.gold.runner import Progress, Settings, run
from rag.gold.schema import GoldSet
from rag.gold.stats import ALPHA, Interval, bootstrap, holm, quantile

if TYPE_CHECKING:
    from rag.library import Library

PASS = "pass"


@dataclass(frozen=True, slots=True)
class Point:
    """One configuration: its ``settings`` that vary, and its run."""

    name: str
    settings: Mapping[str, str]
    run: Run


@dataclass(frozen=True, slots=True)
class Rated:
    """A point's quality with its interval, its median time in ms, and the best point's lead over it with the p-value
    adjusted for the number of comparisons (None for the best itself)."""

    point: Point
    quality: Interval
    time: float
    lead: Interval | None
    p: float | None

    @property
    def beaten(self) -> bool:
        """Whether the best point is significantly better."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True, slots=True)
class Sweep:
    """Points by falling quality of ``metric``."""

    metric: str
    rated: tuple[Rated, ...]

    @property
    def winner(self) -> Point | None:
        """The best point if it is significantly better than every other one; else None."""
        return self.rated[0].point if all(rated.beaten for rated in self.rated[1:]) else None

    @property
    def conclusion(self) -> str:
        """The finding in one sentence."""
        best = self.rated[0].point.name
        ties = [rated.point.name for rated in self.rated[1:] if not rated.beaten]
        if not ties:
            return f"{best} is best on {self.metric}, significantly so." if len(self.rated) > 1 else f"Only {best} ran."
        more = f" and {len(ties) - 3} more" if len(ties) > 3 else ""
        return f"No winner on {self.metric}: {best} is not significantly better than {', '.join(ties[:3])}{more}."


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
    from rag.gold.workspace import fill
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
            points.append(Point(name, varied, _run(gold, library, work, name, settings or Settings(), progress)))
    return points


def _run(gold: GoldSet, library: Library, work: Path, name: str, settings: Settings, progress: Progress | None) -> Run:
    # The texts behind the settings (documents, prompts, models) are in the fingerprint, the settings themselves here.
    config = {name: value for name, value in asdict(library.config).items() if name != "library"}
    asked = [gold.sha256, [q.id for q in gold.questions], settings.k, settings.repeats, settings.retrieval_only]
    key = digest([library.fingerprint(), config, *asked])
    path = work / f"run-{key[:16]}.jsonl"
    if path.is_file() and not (earlier := read_run(path)).errors:
        return earlier
    return run(gold, library, replace(settings, out=path, model=library.config.llm), progress=progress)


def rate(points: Sequence[Point], name: str = PASS) -> Sweep:
    """Rank the points by the metric ``name`` (``pass``: the share of questions that pass), paired by question.

    Raises ConfigError for an unknown metric or one that no question has.
    """
    if name != PASS and metric(name) is None:
        close = get_close_matches(name, [PASS, *known_names()], n=1)
        raise ConfigError(
            f"There is no metric '{name}'.", hint=f"Did you mean {close[0]}?" if close else "See the README."
        )
    values = [quality(point.run, name) for point in points]
    if not all(values):
        raise ConfigError(f"No question has the metric '{name}'.", hint="Choose one that these runs measure.")
    sign = -1.0 if (known := metric(name)) is not None and known.lower else 1.0
    order = sorted(range(len(points)), key=lambda i: (-sign * sum(values[i].values()) / len(values[i]), i))
    best = values[order[0]]
    leads = [bootstrap([sign * (best[key] - values[i][key]) for key in best if key in values[i]]) for i in order[1:]]
    # The best was picked after looking, so all pairs count, not only those with the best.
    pairs = len(points) * (len(points) - 1) // 2
    adjusted = holm([lead.p for lead in leads] + [1.0] * (pairs - len(leads)))[: len(leads)]
    rated = [Rated(points[order[0]], bootstrap(list(best.values())), _time(points[order[0]].run), None, None)]
    for i, lead, p in zip(order[1:], leads, adjusted, strict=True):
        rated.append(Rated(points[i], bootstrap(list(values[i].values())), _time(points[i].run), lead, p))
    return Sweep(name, tuple(rated))


def quality(run: Run, name: str) -> dict[str, float]:
    """The metric of each question; questions with an error are left out."""
    if name != PASS:
        return {key: scores[name] for key, scores in run.scores().items() if name in scores}
    known = {question.id: question for question in run.questions}
    groups = run.by_id()
    return {key: pass_rate(known[key], groups[key], run.k) for key in run.scores()}


def _time(run: Run) -> float:
    name = "retrieve_ms" if run.retrieval_only else "total_ms"
    return quantile([r.metrics[name] for r in run.records if name in r.metrics], 0.5)


def table(found: Sweep) -> Iterator[tuple[str, str, str, str, str]]:
    """Name, quality with interval, median ms, the best one's lead with interval, adjusted p."""
    for rated in found.rated:
        quality_text = f"{rated.quality.mean:.3f} [{rated.quality.low:.3f}, {rated.quality.high:.3f}]"
        lead = rated.lead
        lead_text = f"{lead.mean:+.3f} [{lead.low:+.3f}, {lead.high:+.3f}]" if lead is not None else ""
        p = f"{rated.p:.3g}" if rated.p is not None else ""
        yield rated.point.name, quality_text, f"{rated.time:.3g}", lead_text, p


def sweep_html(found: Sweep) -> str:
    """The table and a plot of quality against time as one page that loads nothing."""
    points = [(r.point.name, r.time, r.quality.mean, r.quality.low, r.quality.high) for r in found.rated]
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in (f'{number}. {row[0]}', *row[1:]))}</tr>"
        for number, row in enumerate(table(found), 1)
    )
    heads = "".join(
        f"<th>{escape(h)}</th>" for h in ("settings", f"{found.metric} [95 %]", "median ms", "lead of the best", "p")
    )
    return html_page(
        "Sweep",
        f'<section class="verdict"><h1>{escape(found.conclusion)}</h1></section>'
        f'<h2>Quality against time</h2><div class="scroll">{scatter_chart(points, "median ms", found.metric)}</div>\n'
        f'<h2>Table</h2><div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>',
    )
