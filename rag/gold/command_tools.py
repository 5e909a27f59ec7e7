"""``rag gold draft | calibrate | sweep | import | export``. No logic lives here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rag.gold.command_base import (
    FILE,
    FOLDER,
    GOLD,
    choice_options,
    configuration,
    console,
    library_options,
    progress_bar,
)  # fmt: skip

if TYPE_CHECKING:
    from rag.config import Config
    from rag.gold.calibrate import Fit

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
    from rag.gold import draft
    from rag.gold.backend import LibraryCorpus
    from rag.gold.chat import open_chat
    from rag.gold.schema import load_gold
    from rag.gold.workspace import library_for
    from rag.gold.writing import append_questions
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
    from rag.gold.calibrate import calibrate
    from rag.gold.schema import load_gold
    from rag.gold.workspace import library_for

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
    from rag.gold.report_tables import fit_table

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
    from rag.gold import sweep
    from rag.gold.files import write_whole
    from rag.gold.report_tables import sweep_table
    from rag.gold.runner import Settings
    from rag.gold.schema import load_gold

    if corpus is None:
        raise click.UsageError("A sweep reads the documents anew: name them with --corpus.")
    settings = Settings(retrieval_only=retrieval_only, k=k)
    with progress_bar("Asking") as progress:
        points = sweep.sweep(
            load_gold(gold_file).select(), configuration(**flags), choices, work,
            corpus=corpus, settings=settings, progress=progress, step=lambda name: click.echo(name, err=True),
        )  # fmt: skip
    found = sweep.rate(points, metric)
    if html is not None:
        write_whole(html, sweep.sweep_html(found))
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
    from rag.gold.backend import LibraryCorpus
    from rag.gold.importers import import_file
    from rag.gold.report_text import shown
    from rag.gold.workspace import library_for
    from rag.gold.writing import append_questions

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
    from rag.gold.backend import LibraryCorpus
    from rag.gold.exporters import export
    from rag.gold.files import write_whole
    from rag.gold.schema import load_gold
    from rag.gold.workspace import library_for

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
