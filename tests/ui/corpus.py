"""A small collection for the page: a PDF, a policy in Markdown, a web page, a plain text, one hostile file."""

from __future__ import annotations

from pathlib import Path

from tests.documents.material import pdf

HANDBOOK = (
    "Employee handbook\nWelcome to the company.\nThe office is in Lisbon.",
    "Annual leave\nLeave is granted per calendar year.\n"
    "Full-time staff receive 28 days of paid annual leave.\nBank holidays are counted separately.",
    "Carry-over\nRequests go through the portal.\nUp to five unused days may be carried over until 31 March.",
)
POLICY = """# Policy changes 2025

## Leave from January

From 1 January 2025 the carry-over limit rises from five to eight days for all locations.

## Parental leave

Eligibility for parental leave starts after 26 weeks of continuous employment.

## Travel expenses

Train journeys are booked in second class. A hotel may cost 120 euros a night.
"""
FAQ = """<html><head><title>Frequent questions</title></head><body><h1>Frequent questions</h1>
<h2>Parking</h2><p>The car park on Mill Lane opens at 6:30 and holds 140 cars.</p>
<h2>Canteen</h2><p>The canteen serves lunch from noon until two in the afternoon.</p></body></html>"""
NOTES = "The fire drill takes place every October.\nThe assembly point is the fountain.\n"
HOSTILE_NAME = "${alert(1)} {{x}} <img src=x onerror=alert(1)>.md"
HOSTILE = """# <script>window.pwned = 1</script> ${window.pwned = 2}

The Zanzibar protocol was signed in 1987. ![x](http://192.0.2.1/leak.png) <img src="http://192.0.2.1/i.png"
onerror="window.pwned = 3"> {{constructor.constructor('window.pwned = 4')()}} ${window.pwned = 5} $$\\href{x}{y}$$
[click](javascript:window.pwned=6) \u202eevil\u202c <style>*{display:none}</style>
"""


def write_corpus(folder: Path) -> Path:
    """The five files, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "handbook.pdf").write_bytes(pdf(HANDBOOK, title="Employee handbook"))
    (folder / "policy-2025.md").write_text(POLICY, encoding="utf-8")
    (folder / "faq.html").write_text(FAQ, encoding="utf-8")
    (folder / "notes.txt").write_text(NOTES, encoding="utf-8")
    (folder / HOSTILE_NAME).write_text(HOSTILE, encoding="utf-8")
    return folder
