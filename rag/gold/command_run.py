"""``rag gold lint | run | compare | accept | report``. No logic lives here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.gold.command_base import (
    FILE,
    GOLD,
    choice_options,
    configuration,
    console,
    finish,
    library_options,
    progress_bar,
    report_options,
)

if TYPE_CHECKING:
    from rag.gold.nodes import Problem


@click.command("lint")
@GOLD
@library_options
@click.option("--syntax-only", is_flag=True, help="Do not look into the documents.")
def lint_command(gold_file: Path, syntax_only: bool, corpus: Path | None, **flags: str | None) -> None:
    """Check a gold set: its syntax, its files and its quotes."""
    from rag.gold.backend import LibraryCorpus
    from rag.gold.gate import Exit
    from rag.gold.linting import lint
    from rag.gold.report_text import shown
    from rag.gold.schema import load_gold
    from rag.gold.workspace import library_for

    loaded = load_gold(gold_file)
    problems: tuple[Problem, ...] = ()
    if not syntax_only:
        with library_for(configuration(**flags), corpus) as library:
            problems = lint(loaded, LibraryCorpus(library))
    for problem in problems:
        click.echo(shown(f"{problem.severity}: {problem.show(str(gold_file))}"))
    errors = sum(problem.severity == "error" for problem in problems)
    click.echo(f"{len(loaded.questions)} questions, {errors} errors, {len(problems) - errors} warnings.")
    if errors:
        raise click.exceptions.Exit(int(Exit.INVALID))


@click.command("run")
@GOLD
@library_options
@choice_options
@click.option("--mode", type=click.Choice(["live", "record", "replay"]), default="live", help="Replay needs no model.")
@click.option("--recording", type=FILE, help="The recorded answers (GOLD's name with .recorded.jsonl).")
@click.option("--retrieval-only", is_flag=True, help="Search, but do not answer: the fast gate.")
@click.option("-k", type=click.IntRange(1, 100), default=None, help="Depth of the retrieval metrics.")
@click.option("--repeats", type=click.IntRange(1, 100), default=None, help="Ask each question this often.")
@click.option("--noise", is_flag=True, help="Run twice and measure the noise floor (always before a first accept).")
@click.option("--no-baseline", is_flag=True, help="Only the thresholds.")
@click.option("--allow-corpus-change", is_flag=True, help="Compare although the documents have changed.")
@click.option("--no-lint", is_flag=True, help="Do not check the gold set against the documents first.")
@click.option("--judge", metavar="NAME", help="A second opinion by ollama:NAME; reported, never gating.")
@click.option("--out", type=FILE, help="Where to keep the run (GOLD's name with .run.jsonl); resumed if interrupted.")
@click.option("--compare-settings", nargs=2, type=FILE, default=None, metavar="A.TOML B.TOML",
              help="Run with both configurations, side by side and paired.")  # fmt: skip
@report_options
def run_command(gold_file: Path, compare_settings: tuple[Path, Path] | None, **options: Any) -> None:
    """Ask every question, score the answers, and compare with the baseline."""
    from rag.gold.launch import RunRequest, launch, launch_pair

    reports = {name: options.pop(name) for name in ("html", "markdown", "junit", "details")}
    flags = {name: options.pop(name) for name in ("library", "collection", "llm", "embedder")}
    request = RunRequest(gold_file, configuration(**flags), **options)
    with progress_bar("Asking") as progress:
        outcome = launch_pair(request, *compare_settings, progress) if compare_settings else launch(request, progress)
    finish(outcome, **reports)


@click.command("compare")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--gold", "gold_file", type=FILE, help="Score both again by this gold set.")
@click.option("--allow-corpus-change", is_flag=True, help="Compare although the documents differ.")
@library_options
@report_options
def compare_command(
    a: Path, b: Path, gold_file: Path | None, allow_corpus_change: bool, corpus: Path | None, **options: Any
) -> None:
    """Compare two kept runs (or baselines), question by question."""
    from rag.gold.runfile import read_run
    from rag.gold.schema import load_gold
    from rag.gold.workflow import hold
    from rag.gold.workspace import library_for

    flags = {name: options.pop(name) for name in ("library", "collection", "llm", "embedder")}
    first, second = read_run(a), read_run(b)
    if gold_file is None:
        outcome = hold(second, first, None, None, allow_corpus_change=allow_corpus_change)
    else:
        with library_for(configuration(**flags), corpus) as library:
            outcome = hold(second, first, load_gold(gold_file), library, allow_corpus_change=allow_corpus_change)
    finish(outcome, **options)


@click.command("accept")
@GOLD
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every question that ran without an error.")
@click.option("--reason", required=True, help="Why these answers are right.")
@click.option("--run", "run_file", type=FILE, help="The run to accept from (GOLD's name with .run.jsonl).")
def accept_command(gold_file: Path, ids: tuple[str, ...], everything: bool, reason: str, run_file: Path | None) -> None:
    """Make answers of the last run the baseline, by id or all; shows what changes."""
    from rag.gold.baseline import accept, load_baseline, save_baseline
    from rag.gold.report_text import print_accepted
    from rag.gold.runfile import read_run
    from rag.gold.workflow import last_run

    if bool(ids) == everything:
        raise click.UsageError("Name the questions to accept, or pass --all.")
    finished = read_run(run_file) if run_file else last_run(gold_file)
    baseline = load_baseline(gold_file)
    accepted = accept(finished, baseline, ids, reason=reason)
    written = save_baseline(gold_file, accepted.baseline)
    print_accepted(accepted, baseline, finished, console())
    click.echo(f"Written: {written}", err=True)


@click.command("report")
@GOLD
@click.option("--run", "run_file", type=FILE, help="The run to report (GOLD's name with .run.jsonl).")
@click.option("--allow-corpus-change", is_flag=True, help="Compare although the documents have changed.")
@report_options
def report_command(gold_file: Path, run_file: Path | None, allow_corpus_change: bool, **reports: Any) -> None:
    """Show the last run again, against the baseline, without asking anything."""
    from rag.gold.baseline import load_baseline
    from rag.gold.runfile import read_run
    from rag.gold.workflow import hold, last_run

    finished = read_run(run_file) if run_file else last_run(gold_file)
    baseline = load_baseline(gold_file)
    finish(hold(finished, baseline, None, None, allow_corpus_change=allow_corpus_change), **reports)
