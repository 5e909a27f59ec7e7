"""What the commands of ``rag gold`` share: options, configuration, progress, and errors as exit codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rag.errors import ConfigError, GoldError, PathError, PromptError, RagError

if TYPE_CHECKING:
    from rich.console import Console

    from rag.config import Config
    from rag.gold.runner import Progress
    from rag.gold.workflow import Outcome

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
GOLD = click.argument("gold_file", type=FILE, metavar="GOLD")


class GoldGroup(click.Group):
    """Turns the errors of a gold run into its exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        from rag.gold.baseline import NotComparable
        from rag.gold.gate import Exit

        try:
            return super().invoke(ctx)
        except RagError as error:
            from rag.gold.report_text import shown

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
    from rag.gold.report_text import print_report
    from rag.gold.workflow import write_reports

    report = outcome.report
    if outcome.rescored:
        click.echo(f"The baseline's answers were scored again, since {outcome.rescored}.", err=True)
    for path in write_reports(report, html=html, markdown=markdown, junit=junit):
        click.echo(f"Written: {path}", err=True)
    print_report(report, console(), details=details)
    raise click.exceptions.Exit(int(outcome.verdict.code))
