"""``rag mcp`` and ``rag verify``: the library for assistants, and exported answers checked again."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from rag.cli import common, echo_json, json_option, opened, settings
from rag.errors import ConfigError, ProofError
from rag.proof import MEANING, ProofReport, bare_files, check_proof, read_proofs


@click.command("mcp")
@common
def mcp(**flags: str | None) -> None:
    """Serve the library to assistants by the Model Context Protocol, over standard input and output."""
    try:
        from rag.api.mcp import create_server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The Model Context Protocol needs a package that is not installed: {error.name}.",
            hint="Install it with: pip install 'rag-cited[mcp]'",
        ) from error
    with opened(settings(**flags), write=False) as library:
        create_server(library).run("stdio")


@click.command("verify")
@click.argument("answer", type=click.File(encoding="utf-8"), metavar="FILE")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@common
@json_option
def verify(answer: TextIO, paths: tuple[str, ...], as_json: bool, **flags: str | None) -> None:
    """Check an exported answer again: do its quotes still stand in the documents?

    FILE is what `rag ask --json` or the page's export wrote; - reads the standard input. With PATHs it is held against
    those files instead of the library. Exit code 1 when a quote no longer holds.
    """
    config = settings(**flags)
    try:
        answers = read_proofs(answer.read())
    except UnicodeDecodeError as error:
        raise ProofError("This file is not text in UTF-8.", hint="Export the answer anew.") from error
    if paths:
        documents = list(bare_files([Path(path) for path in paths], config))
    else:
        with opened(config, write=False) as library:
            documents = list(library.known_documents())
    reports = [check_proof(one, documents) for one in answers]
    if as_json:
        echo_json([{"holds": report.holds, "report": report} for report in reports])
    else:
        click.echo("\n\n".join(_told(report) for report in reports))
    if not all(report.holds for report in reports):
        raise click.exceptions.Exit(1)


def _told(report: ProofReport) -> str:
    """A report for the terminal."""
    from rag.terminal import fitted, one_line, safe, screen_width

    lines = [safe(report.question)] if report.question else []
    for checked in report.citations:
        lines.append(f"[{checked.marker}] {checked.state}: {safe(checked.source)} {MEANING[checked.state]}")
        lines.append(f"    “{one_line(checked.quote, 160)}”")
    lines += [f"altered: “{one_line(text, 160)}” is not what it cites word for word" for text in report.altered]
    if report.loose:
        lines.append(f"{report.loose} markers stand for no citation")
    kept = sum(1 for checked in report.citations if checked.state == "holds")
    lines.append(f"{kept} of {len(report.citations)} citations hold." if report.citations else "Nothing is cited.")
    return fitted("\n".join(lines), screen_width())
