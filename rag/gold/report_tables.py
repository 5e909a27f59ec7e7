"""What was fitted and what was swept, as tables in the terminal."""

from __future__ import annotations

from rich.table import Table

from rag.gold.calibrate import Fit
from rag.gold.stats import Interval
from rag.gold.sweep import Sweep
from rag.gold.sweep import table as sweep_rows


def fit_table(fit: Fit) -> Table:
    """A fitted setting, before and after."""
    word = "better" if fit.better else "not significantly better"
    title = f"{fit.setting}: {fit.old:g} → {fit.new:g}, {word} on questions held out"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("", "before", "after (cross-validated)", "n"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    change = f"{fit.delta.mean:+.3f} [{fit.delta.low:+.3f}, {fit.delta.high:+.3f}]"
    table.add_row(fit.measure, _figure(fit.before), _figure(fit.after), str(fit.before.n))
    table.add_row("change", "", change, str(fit.delta.n))
    for name, before, after in fit.parts:
        table.add_row(name, _figure(before), _figure(after), str(before.n))
    return table


def _figure(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def sweep_table(found: Sweep) -> Table:
    """The points of a sweep, the best first."""
    table = Table(box=None, pad_edge=False)
    for name in ("settings", f"{found.metric} [95 %]", "median ms", "lead of the best", "adjusted p"):
        table.add_column(name, justify="left" if name == "settings" else "right", no_wrap=name != "settings")
    for row in sweep_rows(found):
        table.add_row(*row)
    return table
