"""The command ``rag gold``."""

from __future__ import annotations

import click

from rag.gold.command_base import GoldGroup
from rag.gold.command_run import accept_command, compare_command, lint_command, report_command, run_command
from rag.gold.command_tools import calibrate_command, draft_command, export_command, import_command, sweep_command


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
