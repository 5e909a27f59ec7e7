"""The command ``rag gold``. No logic lives here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rag.errors import ConfigError, GoldError, PathError, PromptError, RagError

if TYPE_CHECKING:
    from rich.console import Console

    from rag.config import Config
    from rag.gold.commands.asking import Progress
    from rag.gold.commands.gate import Outcome
    from rag.gold.metrics.tuning import Fit
    from rag.gold.types import Problem


F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
GOLD = click.argument("gold_file", type=FILE, metavar="GOLD")


class GoldGroup(click.Group):
    """Turns the errors of a gold run into its exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        from rag.gold.files.runs import NotComparable
        from rag.gold.metrics.comparison import Exit

        try:
            return super().invoke(ctx)
        except RagError as error:
            from rag.gold.report.terminal import shown

            click.echo(f"Error: {shown(error.explain())}", err=True)
            if isinstance(error, NotComparable):
                raise click.exceptions.Exit(Exit.NOT_COMPARABLE) from error
            invalid = isinstance(error, GoldError | ConfigError | PromptError | PathError)
            raise click.exceptions.Exit(Exit.INVALID if invalid else Exit.INFRASTRUCTURE) from error
        except KeyboardInterrupt:
            if ctx.invoked_subcommand in ("run", "sweep"):
                click.echo("The answers so far are kept; the same command goes on from there.", err=True)
            raise


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


library_options = _options(
    click.option("--library", metavar="FOLDER", help="The library's folder (RAG_LIBRARY)."),
    click.option("--collection", metavar="NAME", help="The collection (RAG_COLLECTION; 'default')."),
    click.option("--llm", metavar="NAME", help="auto, quotes or ollama:NAME (RAG_LLM)."),
    click.option("--embedder", metavar="NAME", help="auto, builtin or ollama:NAME, for --corpus."),
    click.option("--corpus", type=FOLDER, help="Read this folder into a library made for this run."),
)
choice_options = _options(
    click.option("--id", "ids", multiple=True, metavar="ID", help="Only this question (may be repeated)."),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only questions with this tag."),
    click.option("--drafts", is_flag=True, help="Drafts too; they never gate."),
)
report_options = _options(
    click.option("--html", type=FILE, help="Write the report as one HTML page."),
    click.option("--markdown", type=FILE, help="Write it as Markdown."),
    click.option("--junit", type=FILE, help="Write it as JUnit XML."),
    click.option("--details", type=click.IntRange(0), default=10, help="Regressions shown in full, a stage."),
)


def configuration(library: str | None, collection: str | None, llm: str | None, embedder: str | None) -> Config:
    """The configuration with these flags on top."""
    from rag.config import load_config

    flags = {"library": library, "collection": collection, "llm": llm, "embedder": embedder}
    return load_config({name: value for name, value in flags.items() if value is not None})


def console(*, err: bool = False) -> Console:
    """The terminal; wide enough for its tables when it is none."""
    from rich.console import Console

    made = Console(stderr=err, highlight=False, markup=False, emoji=False)
    return made if made.is_terminal else Console(stderr=err, highlight=False, markup=False, emoji=False, width=140)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar on the terminal's error output; nothing where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out = console(err=True)
    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}"),
    )
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None, name="")

        def step(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, name=name)

        yield step


def finish(outcome: Outcome, *, html: Path | None, markdown: Path | None, junit: Path | None, details: int) -> None:
    """Print and write the report, and end with the verdict's exit code."""
    from rag.gold.commands.gate import write_reports
    from rag.gold.report.terminal import print_report

    report = outcome.report
    if outcome.rescored:
        click.echo(f"The baseline's answers were scored again, since {outcome.rescored}.", err=True)
    for path in write_reports(report, html=html, markdown=markdown, junit=junit):
        click.echo(f"Written: {path}", err=True)
    print_report(report, console(), details=details)
    raise click.exceptions.Exit(int(outcome.verdict.code))


@click.command("lint")
@GOLD
@library_options
@click.option("--syntax-only", is_flag=True, help="Do not look into the documents.")
def lint_command(gold_file: Path, syntax_only: bool, corpus: Path | None, **flags: str | None) -> None:
    """Check a gold set: its syntax, its files and its quotes."""
    from rag.gold.commands.gate import library_for
    from rag.gold.files.gold_set import load_gold
    from rag.gold.files.lint import lint
    from rag.gold.metrics.comparison import Exit
    from rag.gold.metrics.matching import LibraryCorpus
    from rag.gold.report.terminal import shown

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
    from rag.gold.commands.gate import RunRequest, launch, launch_pair

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
    from rag.gold.commands.gate import hold, library_for
    from rag.gold.files.gold_set import load_gold
    from rag.gold.files.runs import read_run

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
    from rag.gold.commands.gate import last_run
    from rag.gold.files.runs import accept, load_baseline, read_run, save_baseline
    from rag.gold.report.terminal import print_accepted

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
    from rag.gold.commands.gate import hold, last_run
    from rag.gold.files.runs import load_baseline, read_run

    finished = read_run(run_file) if run_file else last_run(gold_file)
    baseline = load_baseline(gold_file)
    finish(hold(finished, baseline, None, None, allow_corpus_change=allow_corpus_change), **reports)


KINDS = ("llama-index", "ragas", "promptfoo", "squad", "csv")


@click.command("draft")
@GOLD
@click.argument("files", nargs=-1)
@click.option("--count", type=click.IntRange(1, 1_000), default=20, help="At most this many questions.")
@click.option("--each", type=click.IntRange(1, 10), default=3, help="Questions asked for from one piece of text.")
@click.option("--seed", type=int, default=0, help="Which pieces of the documents.")
@click.option("--from-feedback", is_flag=True, help="Take what readers rated on the page instead; needs no model.")
@library_options
def draft_command(
    gold_file: Path, files: tuple[str, ...], count: int, each: int, seed: int, from_feedback: bool,
    corpus: Path | None, **flags: str | None,
) -> None:  # fmt: skip
    """Add draft questions about the documents (or FILES of them) to GOLD, for a person to review."""
    from rag.gold.commands import draft
    from rag.gold.commands.gate import library_for
    from rag.gold.files.gold_set import append_questions, load_gold
    from rag.gold.metrics.llm_judge import open_chat
    from rag.gold.metrics.matching import LibraryCorpus
    from rag.prompts import load_prompt

    config = configuration(**flags)
    taken = load_gold(gold_file).ids if gold_file.exists() else ()
    with library_for(config.with_(llm="quotes"), corpus) as library:
        if from_feedback:
            made = draft.from_feedback(library.conversations, config.collection, taken)
        else:
            prompt = load_prompt("draft", config.prompts)
            with open_chat(config, config.llm) as chat, progress_bar("Drafting") as progress:
                made = draft.drafts(
                    LibraryCorpus(library), chat, prompt,
                    files=files, count=count, each=each, seed=seed, taken=taken, progress=progress,
                )  # fmt: skip
    if made:
        append_questions(gold_file, made)
    noun = "draft" if len(made) == 1 else "drafts"
    what_next = "Review each, then set 'status: approved'." if made else "There is nothing new."
    click.echo(f"{len(made)} {noun} added to {gold_file}. {what_next}")


@click.command("calibrate")
@GOLD
@click.option("--fusion", is_flag=True, help="Fit the weight of dense against full-text search too.")
@click.option("--apply", "apply_it", is_flag=True, help="Write the fitted values to the collection's settings.")
@library_options
def calibrate_command(gold_file: Path, fusion: bool, apply_it: bool, corpus: Path | None, **flags: str | None) -> None:
    """Fit when to refuse (and, if asked, how to fuse) on a gold set, by cross-validation."""
    from rag.gold.commands.gate import library_for
    from rag.gold.commands.tuning import calibrate
    from rag.gold.files.gold_set import load_gold

    if apply_it and corpus is not None:
        raise click.UsageError("--apply writes to a library that stays; leave out --corpus.")
    config = configuration(**flags).with_(llm="quotes")
    with library_for(config, corpus, write=apply_it) as library, progress_bar("Asking") as progress:
        fits = calibrate(load_gold(gold_file).select(), library, fusion=fusion, progress=progress)
        for fit in fits:
            _show_fit(fit)
            if apply_it:
                library.set_setting(fit.setting, fit.new, config.collection)
                click.echo(f"Set {fit.setting} = {fit.new:g} for the collection {config.collection}.")
    if not apply_it:
        click.echo("Nothing was written; --apply writes the new values to the collection's settings.")


def _show_fit(fit: Fit) -> None:
    from rag.gold.report.terminal import fit_table

    console().print(fit_table(fit))


@click.command("sweep")
@GOLD
@click.option("--set", "choices", multiple=True, required=True, metavar="NAME=V,V", help="A setting and its values.")
@click.option("--work", type=FOLDER, required=True, help="Keeps libraries and runs, so that a sweep can go on.")
@click.option("--metric", default="pass", help="The quality to rank by ('pass': share of questions that pass).")
@click.option("--retrieval-only", is_flag=True, help="Search, but do not answer.")
@click.option("-k", type=click.IntRange(1, 100), default=None, help="Depth of the retrieval metrics.")
@click.option("--html", type=FILE, help="Write the table and a plot of quality against time.")
@library_options
def sweep_command(
    gold_file: Path, choices: Sequence[str], work: Path, metric: str, retrieval_only: bool, k: int | None,
    html: Path | None, corpus: Path | None, **flags: str | None,
) -> None:  # fmt: skip
    """Try every combination of settings, as --set passage_characters=500,1000 --set top_k=4,6."""
    from rag.gold.commands import tuning
    from rag.gold.commands.asking import Settings
    from rag.gold.files.disk import write_whole
    from rag.gold.files.gold_set import load_gold
    from rag.gold.metrics.tuning import rate
    from rag.gold.report.html import sweep_html
    from rag.gold.report.terminal import sweep_table

    if corpus is None:
        raise click.UsageError("A sweep reads the documents anew: name them with --corpus.")
    settings = Settings(retrieval_only=retrieval_only, k=k)
    with progress_bar("Asking") as progress:
        points = tuning.sweep(
            load_gold(gold_file).select(), configuration(**flags), choices, work,
            corpus=corpus, settings=settings, progress=progress, step=lambda name: click.echo(name, err=True),
        )  # fmt: skip
    found = rate(points, metric)
    if html is not None:
        write_whole(html, sweep_html(found))
        click.echo(f"Written: {html}", err=True)
    console().print(sweep_table(found))
    click.echo(found.conclusion)


@click.command("import")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("file", type=FILE)
@GOLD
@library_options
def import_command(kind: str, file: Path, gold_file: Path, corpus: Path | None, **flags: str | None) -> None:
    """Add the questions of FILE to GOLD. With a library, contexts are found in its documents."""
    from rag.gold.commands.gate import library_for
    from rag.gold.files.exchange import import_file
    from rag.gold.files.gold_set import append_questions
    from rag.gold.metrics.matching import LibraryCorpus
    from rag.gold.report.terminal import shown

    config = configuration(**flags)
    if corpus is not None or _has_documents(config):
        with library_for(config, corpus) as library:
            imported = import_file(file, kind, LibraryCorpus(library))
    else:
        imported = import_file(file, kind)
    append_questions(gold_file, imported.questions)
    for note in imported.notes:
        click.echo(shown(note), err=True)
    click.echo(f"{len(imported.questions)} questions added to {gold_file}, {len(imported.notes)} notes.")


@click.command("export")
@click.argument("kind", type=click.Choice(KINDS))
@GOLD
@click.option("--out", type=FILE, help="Where to write it (standard output).")
@choice_options
@library_options
def export_command(
    kind: str, gold_file: Path, out: Path | None, ids: tuple[str, ...], tags: tuple[str, ...], drafts: bool,
    corpus: Path | None, **flags: str | None,
) -> None:  # fmt: skip
    """Write the approved questions of GOLD in another tool's form."""
    from rag.gold.commands.gate import library_for
    from rag.gold.files.disk import write_whole
    from rag.gold.files.exchange import export
    from rag.gold.files.gold_set import load_gold
    from rag.gold.metrics.matching import LibraryCorpus

    questions = load_gold(gold_file).select(ids, tags, drafts=drafts).questions
    if kind == "squad":
        with library_for(configuration(**flags), corpus) as library:
            text = export(questions, kind, LibraryCorpus(library))
    else:
        text = export(questions, kind)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_whole(out, text)
        click.echo(f"Written: {out}", err=True)


def _has_documents(config: Config) -> bool:
    from rag.library import Library

    if not config.library_path.exists():
        return False
    with Library.open(config=config, write=False) as library:
        return config.collection in library.collections()


@click.group(cls=GoldGroup)
def gold() -> None:
    """Test answers against a gold question set.

    \b
    Exit codes: 0 clean, 1 regression or threshold, 2 invalid gold set or usage,
    3 questions could not be asked, 4 the baseline is of other documents.
    """


for command in (
    lint_command, run_command, compare_command, accept_command, report_command, draft_command, calibrate_command,
    sweep_command, import_command, export_command,
):  # fmt: skip
    gold.add_command(command)
