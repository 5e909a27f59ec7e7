"""The frame of every HTML report: one file that loads nothing, in the reader's light or dark."""

from __future__ import annotations

from html import escape
from pathlib import Path

_STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def html_page(title: str, body: str, script: str = "") -> str:
    """A whole page around ``body`` (HTML), with the named ``script`` of ours. Its content policy forbids every
    request."""
    style = (_STATIC / "report.css").read_text(encoding="utf-8")
    code = f"<script>\n{(_STATIC / script).read_text(encoding='utf-8')}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n"
        f"<body><main>\n{body}\n</main>\n{code}</body></html>\n"
    )
