"""The command ``rag gold``. No logic lives here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rag.errors import ConfigError, GoldError, PathError, PromptError, RagError
from rag.text import counted, safe

if TYPE_CHECKING:
    from rich.console import Console

    from rag.config import Config
    from rag.gold.commands.asking import Progress
    from rag.gold.commands.gate import Outcome
    from rag.gold.types import Run

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
GOLD = click.argument("gold_file", type=FILE, metavar="GOLD")
KINDS = ("llama-index", "ragas", "promptfoo", "squad", "csv")
_FLAGS = ("library", "collection", "llm", "embedder")
_REPORTS = ("html", "markdown", "junit")


def _exit_code(error: RagError) -> int:
    """An error as an exit code: 2 for what the person can mend in files or usage, 3 for what failed around it."""
    from rag.gold.files.runs import NotComparable
    from rag.gold.metrics.comparison import Exit

    if isinstance(error, NotComparable):
        return Exit.NOT_COMPARABLE
    return Exit.INVALID if isinstance(error, GoldError | ConfigError | PromptError | PathError) else Exit.INFRASTRUCTURE


class GoldGroup(click.Group):
    """Turns the errors of a gold run into its exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RagError as error:
            click.echo(f"Error: {safe(error.explain())}", err=True)
            raise click.exceptions.Exit(_exit_code(error)) from error
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


class _Shard(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        part, of = value if isinstance(value, tuple) else str(value).partition("/")[::2]
        if not (str(part).isdigit() and str(of).isdigit() and 1 <= int(part) <= int(of)):
            self.fail(f"'{value}' is no part of a whole; write 1/3 for the first of three.", param, ctx)
        return int(part), int(of)


documents_options = _options(
    click.option("--library", metavar="FOLDER", help="The library's folder (RAG_LIBRARY)."),
    click.option("--collection", metavar="NAME", help="The collection (RAG_COLLECTION; 'default')."),
    click.option("--embedder", metavar="NAME", help="auto, builtin or ollama:NAME, for --corpus."),
    click.option("--corpus", type=FOLDER, help="Read this folder into a library made for this run."),
)
library_options = _options(
    documents_options, click.option("--llm", metavar="NAME", help="auto, quotes or ollama:NAME (RAG_LLM).")
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
    click.option("--details", type=click.IntRange(0), default=10, help="Questions shown in full, a stage."),
    click.option("--statistics", is_flag=True, help="Show intervals, tests, tags and times too."),
)
allow_option = click.option("--allow-corpus-change", is_flag=True, help="Compare although the documents differ.")
runs_option = click.option(
    "--run", "run_files", type=FILE, multiple=True,
    help="The run (GOLD's name with .run.jsonl); repeated, the shards of one.",
)  # fmt: skip


def configuration(flags: dict[str, Any]) -> Config:
    """The configuration with these flags, which are taken out of ``flags``, on top."""
    from rag.config import load_config

    given = {name: flags.pop(name, None) for name in _FLAGS}
    return load_config({name: value for name, value in given.items() if value is not None})


def console(*, err: bool = False) -> Console:
    """The terminal; wide enough for its tables when it is none."""
    from rich.console import Console

    made = Console(stderr=err, highlight=False, markup=False, emoji=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=err, highlight=False, markup=False, emoji=False, width=140)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar on the terminal's error output; nothing where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out = console(err=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[name]}"))  # fmt: skip
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None, name="")

        def step(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, name=name)

        yield step


def finish(outcomes: Sequence[Outcome], *, details: int, statistics: bool, **files: Path | None) -> None:
    """Print and write the reports, and end with the gravest exit code."""
    from rag.gold.commands.gate import gravest, write_reports
    from rag.gold.report.terminal import print_report

    reports = [outcome.report for outcome in outcomes]
    for outcome in outcomes:
        if outcome.rescored:
            click.echo(f"The baseline's answers were scored again, since {outcome.rescored}.", err=True)
    for path in write_reports(reports, html=files["html"], markdown=files["markdown"], junit=files["junit"]):
        click.echo(f"Written: {path}", err=True)
    for number, report in enumerate(reports):
        if len(reports) > 1:
            click.echo(f"{chr(10) * bool(number)}{report.run.gold}")
        print_report(report, console(), details=details, statistics=statistics)
    raise click.exceptions.Exit(int(gravest(outcomes)))


@click.group(cls=GoldGroup)
def gold() -> None:
    """Test answers against a gold question set.

    \b
    Exit codes: 0 clean, 1 regression or threshold, 2 invalid gold set or usage,
    3 questions could not be asked, 4 the baseline is of other documents.
    """


@gold.command("lint")
@GOLD
@library_options
@click.option("--syntax-only", is_flag=True, help="Do not look into the documents.")
def lint_command(gold_file: Path, syntax_only: bool, corpus: Path | None, **flags: str | None) -> None:
    """Check a gold set: its syntax, its files and its quotes, all in one pass."""
    from rag.gold.commands.gate import library_for
    from rag.gold.files.gold_set import read_gold
    from rag.gold.files.lint import lint
    from rag.gold.metrics.comparison import Exit
    from rag.gold.metrics.matching import LibraryCorpus

    loaded, problems = read_gold(gold_file)
    if not syntax_only and loaded.questions:
        with library_for(configuration(flags), corpus) as library:
            problems = (*problems, *lint(loaded, LibraryCorpus(library)))
    for problem in sorted(problems, key=lambda problem: problem.line):
        click.echo(safe(problem.show(str(gold_file))), err=problem.severity == "error")
    errors = sum(problem.severity == "error" for problem in problems)
    told = (counted(len(loaded.questions), "question"), counted(errors, "error"))
    click.echo(f"{', '.join(told)}, {counted(len(problems) - errors, 'warning')}.")
    if errors:
        raise click.exceptions.Exit(int(Exit.INVALID))


@gold.command("run")
@click.argument("gold_files", type=FILE, metavar="GOLD...", nargs=-1, required=True)
@documents_options
@click.option("--llm", "llms", multiple=True, metavar="NAME",
              help="auto, quotes or ollama:NAME (RAG_LLM). Given twice: both are asked, and compared.")  # fmt: skip
@choice_options
@click.option("--shard", type=_Shard(), default=(1, 1), metavar="I/N", help="Only the I-th of N parts, for a CI.")
@click.option("--mode", type=click.Choice(["live", "record", "replay"]), default="live", help="Replay needs no model.")
@click.option("--recording", type=FILE, help="The recorded answers (GOLD's name with .recorded.jsonl).")
@click.option("--retrieval-only", is_flag=True, help="Search, but do not answer: the fast gate.")
@click.option("-k", type=click.IntRange(1, 100), default=None, help="Depth of the retrieval metrics.")
@click.option("--repeats", type=click.IntRange(1, 100), default=None, help="Ask each question this often.")
@click.option("--noise", is_flag=True, help="Run twice and measure the noise floor (always before a first accept).")
@click.option("--no-baseline", is_flag=True, help="Only the thresholds.")
@allow_option
@click.option("--no-lint", is_flag=True, help="Do not check the gold set against the documents first.")
@click.option("--judge", metavar="NAME", help="A second opinion by ollama:NAME; reported, never gating.")
@click.option("--out", type=FILE, help="Where to keep the run (GOLD's name with .run.jsonl); resumed if interrupted.")
@click.option("--compare-settings", nargs=2, type=FILE, default=None, metavar="A.TOML B.TOML",
              help="Run with both configurations, side by side and paired.")  # fmt: skip
@report_options
def run_command(
    gold_files: tuple[Path, ...], llms: tuple[str, ...], compare_settings: tuple[Path, Path] | None, **options: Any
) -> None:
    """Ask every question, score the answers, and compare with the baseline (or two models with each other)."""
    from rag.gold.commands.gate import RunRequest, launch, launch_pair, write_failure

    reports = {name: options.pop(name) for name in (*_REPORTS, "details", "statistics")}
    pair = len(llms) == 2 or compare_settings is not None
    if len(llms) > 2:
        raise click.UsageError(
            f"Two models are compared at a time; for more: rag gold sweep --set llm={','.join(llms)}"
        )
    if (len(llms) == 2 and compare_settings) or (len(gold_files) > 1 and (pair or options["out"])):
        raise click.UsageError("--llm twice, --compare-settings and --out go each with one gold set, and not together.")
    named = {**{name: options.get(name) for name in ("corpus", *_FLAGS)}, "llm": llms[0] if len(llms) == 1 else None}
    where = shlex.join(word for name, value in named.items() if value is not None for word in (f"--{name}", str(value)))
    try:
        config = configuration({**options, "llm": named["llm"]})
        given = {name: value for name, value in options.items() if name not in _FLAGS}
        requests = [RunRequest(gold_file=path, config=config, where=where, **given) for path in gold_files]
        with progress_bar("Asking") as progress:
            if pair:
                candidates = [(name, config.with_(llm=name)) for name in llms] if len(llms) == 2 else [
                    (path.stem, config.with_file(path)) for path in compare_settings or ()
                ]  # fmt: skip
                outcomes = [launch_pair(requests[0], candidates, progress)]
            else:
                outcomes = launch(requests, progress)
    except RagError as error:
        title = "Invalid gold set or settings" if _exit_code(error) == 2 else "The questions could not be asked"
        write_failure(title, error.explain(), **{name: reports[name] for name in _REPORTS})
        raise
    finish(outcomes, **reports)


@gold.command("compare")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--gold", "gold_file", type=FILE, help="Score both again by this gold set.")
@allow_option
@library_options
@report_options
def compare_command(
    a: Path, b: Path, gold_file: Path | None, allow_corpus_change: bool, corpus: Path | None, **options: Any
) -> None:
    """Compare two kept runs (or baselines), question by question."""
    from rag.gold.commands.gate import hold, library_for
    from rag.gold.files.gold_set import load_gold
    from rag.gold.files.runs import read_run

    config = configuration(options)
    first, second = read_run(a), read_run(b)
    names = (a.stem, b.stem) if a.stem != b.stem else (str(a), str(b))
    if gold_file is None:
        outcome = hold(second, first, None, None, allow_corpus_change=allow_corpus_change, names=names)
    else:
        with library_for(config, corpus) as library:
            loaded = load_gold(gold_file)
            outcome = hold(second, first, loaded, library, allow_corpus_change=allow_corpus_change, names=names)
    finish([outcome], **options)


def _kept(gold_file: Path, run_files: Sequence[Path]) -> Run:
    from rag.gold.commands.gate import last_run
    from rag.gold.files.runs import merged, read_run

    return merged([read_run(path) for path in run_files]) if run_files else last_run(gold_file)


@gold.command("accept")
@GOLD
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every question that ran without an error.")
@click.option("--reason", required=True, help="Why these answers are right.")
@runs_option
def accept_command(
    gold_file: Path, ids: tuple[str, ...], everything: bool, reason: str, run_files: tuple[Path, ...]
) -> None:
    """Make answers of the last run the baseline, by id or all; shows what changes."""
    from rag.gold.files.runs import accept, load_baseline, save_baseline
    from rag.gold.report.terminal import print_accepted

    if bool(ids) == everything:
        raise click.UsageError("Name the questions to accept, or pass --all.")
    finished, baseline = _kept(gold_file, run_files), load_baseline(gold_file)
    accepted = accept(finished, baseline, ids, reason=reason)
    written = save_baseline(gold_file, accepted.baseline)
    print_accepted(accepted, baseline, finished, console())
    click.echo(f"Written: {written}", err=True)


@gold.command("report")
@GOLD
@runs_option
@allow_option
@report_options
def report_command(gold_file: Path, run_files: tuple[Path, ...], allow_corpus_change: bool, **reports: Any) -> None:
    """Show the last run again, against the baseline, without asking anything."""
    from rag.gold.commands.gate import hold
    from rag.gold.files.runs import load_baseline

    finished = _kept(gold_file, run_files)
    finish([hold(finished, load_baseline(gold_file), None, None, allow_corpus_change=allow_corpus_change)], **reports)


@gold.command("rebase")
@GOLD
@click.argument("ids", nargs=-1)
@click.option("--write", is_flag=True, help="Write the proposals into GOLD, for you to review.")
@library_options
def rebase_command(
    gold_file: Path, ids: tuple[str, ...], write: bool, corpus: Path | None, **flags: str | None
) -> None:
    """Propose what stands in the documents now for the gold (of questions IDS) that no longer does."""
    from rag.gold.commands.gate import library_for, rebase
    from rag.gold.files.disk import write_whole

    with library_for(configuration(flags), corpus) as library:
        found = rebase(gold_file, library, ids)
    told = unified_diff(found.before.splitlines(), found.after.splitlines(), str(gold_file), "proposed", "", "", 1, "")
    for line in told:
        click.echo(safe(line))
    for finding in found.lost:
        click.echo(safe(f"{gold_file}:{finding.line}: {finding.message} Nothing like it is left; mend it by hand."))
    for problem in found.doubts:
        click.echo(safe(problem.show(str(gold_file))))
    if write and found.mended:
        write_whole(gold_file, found.after.encode())
    number = counted(found.mended, "source")
    done = f"{number} written to {gold_file}; review them" if write else f"{number} proposed; --write takes them over"
    click.echo(f"{done}." if found.mended else "There is nothing to propose.")


@gold.command("advise")
@GOLD
@runs_option
@click.option("--better", type=click.FloatRange(0, 100, min_open=True), default=None, metavar="PERCENT",
              help="How many questions the claim 'this much better' needs.")  # fmt: skip
def advise_command(gold_file: Path, run_files: tuple[Path, ...], better: float | None) -> None:
    """Propose thresholds and severities from several runs, and say what the gold set can prove."""
    from rag.gold.files.gold_set import load_gold
    from rag.gold.files.runs import read_run, run_path
    from rag.gold.metrics.advice import advise
    from rag.gold.report.terminal import print_advice

    runs = [read_run(path) for path in run_files or (run_path(gold_file),)]
    print_advice(advise(load_gold(gold_file), runs, better=None if better is None else better / 100), console())


@gold.command("draft")
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

    config = configuration(flags)
    taken = load_gold(gold_file).ids if gold_file.exists() else ()
    with library_for(config.with_(llm="quotes"), corpus) as library:
        if from_feedback:
            owners = ["", *(str(user.id) for user in library.accounts.list())]
            made = draft.from_feedback(library.conversations, config.collection, taken, owners)
        else:
            prompt = load_prompt("draft", config.prompts)
            with open_chat(config, config.llm) as chat, progress_bar("Drafting") as progress:
                drafted = draft.drafts(
                    LibraryCorpus(library), chat, prompt,
                    files=files, count=count, each=each, seed=seed, taken=taken, progress=progress,
                )  # fmt: skip
            made = drafted.questions
            click.echo(f"{drafted}.", err=True)
    if made:
        append_questions(gold_file, made)
    what_next = "Review each, then set 'status: approved'." if made else "There is nothing new."
    click.echo(f"{counted(len(made), 'draft')} added to {gold_file}. {what_next}")


@gold.command("calibrate")
@GOLD
@click.option("--fusion", is_flag=True, help="Fit the weight of dense against full-text search too.")
@click.option("--apply", "apply_it", is_flag=True, help="Write the fitted values to the collection's settings.")
@library_options
def calibrate_command(gold_file: Path, fusion: bool, apply_it: bool, corpus: Path | None, **flags: str | None) -> None:
    """Fit when to refuse (and, if asked, how to fuse) on a gold set, by cross-validation."""
    from rag.gold.commands.gate import library_for
    from rag.gold.commands.tuning import calibrate
    from rag.gold.files.gold_set import load_gold
    from rag.gold.report.terminal import fit_table

    if apply_it and corpus is not None:
        raise click.UsageError("--apply writes to a library that stays; leave out --corpus.")
    config = configuration(flags).with_(llm="quotes")
    with library_for(config, corpus, write=apply_it) as library, progress_bar("Asking") as progress:
        fits = calibrate(load_gold(gold_file).select(), library, fusion=fusion, progress=progress)
        for fit in fits:
            console().print(fit_table(fit))
            if apply_it:
                library.collections.set_setting(fit.setting, fit.new, config.collection)
                click.echo(f"Set {fit.setting} = {fit.new:g} for the collection {config.collection}.")
    if not apply_it:
        click.echo("Nothing was written; --apply writes the new values to the collection's settings.")


@gold.command("sweep")
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
    from rag.gold.report.files import sweep_html
    from rag.gold.report.terminal import sweep_table

    if corpus is None:
        raise click.UsageError("A sweep reads the documents anew: name them with --corpus.")
    settings = Settings(retrieval_only=retrieval_only, k=k)
    with progress_bar("Asking") as progress:
        points = tuning.sweep(
            load_gold(gold_file).select(), configuration(flags), choices, work,
            corpus=corpus, settings=settings, progress=progress, step=lambda name: click.echo(name, err=True),
        )  # fmt: skip
    found = rate(points, metric)
    if html is not None:
        write_whole(html, sweep_html(found))
        click.echo(f"Written: {html}", err=True)
    console().print(sweep_table(found))
    click.echo(found.conclusion)


@gold.command("import")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("file", type=FILE)
@GOLD
@library_options
def import_command(kind: str, file: Path, gold_file: Path, corpus: Path | None, **flags: str | None) -> None:
    """Add the questions of FILE to GOLD. With a library, contexts are found in its documents."""
    from rag.gold.commands.gate import has_documents, library_for
    from rag.gold.files.exchange import import_file
    from rag.gold.files.gold_set import append_questions
    from rag.gold.metrics.matching import LibraryCorpus

    config = configuration(flags)
    if corpus is not None or has_documents(config):
        with library_for(config, corpus) as library:
            imported = import_file(file, kind, LibraryCorpus(library))
    else:
        imported = import_file(file, kind)
    append_questions(gold_file, imported.questions)
    for note in imported.notes:
        click.echo(safe(note), err=True)
    number = counted(len(imported.questions), "question")
    click.echo(f"{number} added to {gold_file}, {counted(len(imported.notes), 'note')}.")


@gold.command("export")
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
        with library_for(configuration(flags), corpus) as library:
            text = export(questions, kind, LibraryCorpus(library))
    else:
        text = export(questions, kind)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_whole(out, text)
        click.echo(f"Written: {out}", err=True)
