"""Prompt templates: plain text with ``$names``, substituted once, so that documents may contain braces or dollars.

A template is two parts around a line of three dashes: what goes to the model as the system message, and what goes
as the user's. ``prompts/`` holds the shipped ones; a folder named in the settings may hold others of the same names.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from string import Template

from rag.errors import PromptError

VARIABLES: dict[str, frozenset[str]] = {
    "answer": frozenset({"sources", "question", "nonce"}),
    "answer-small": frozenset({"sources", "question"}),
    "condense": frozenset({"history", "question"}),
    "draft": frozenset({"passage", "label", "nonce", "count"}),
    "judge": frozenset({"passage", "sentence", "nonce"}),
}
_SEPARATOR = "---"
_PLAIN = {"{{": "{", "}}": "}", "$": "$$"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A validated template. ``digest`` is the SHA-256 of its file, for fingerprints."""

    name: str
    system: str
    user: str
    digest: str

    @property
    def fenced(self) -> bool:
        """Whether what it quotes stands between fences that hold ``$nonce``."""
        return "nonce" in VARIABLES[self.name]

    @property
    def instructions(self) -> str:
        """Its own words, without what is put in."""
        return Template(f"{self.system}\n{self.user}").substitute(dict.fromkeys(VARIABLES[self.name], ""))

    def render(self, **values: str) -> tuple[str, str]:
        """The system and the user text. Raises PromptError unless exactly the template's variables are given."""
        expected = VARIABLES[self.name]
        if set(values) != expected:
            raise PromptError(f"Prompt {self.name!r} takes {_list(expected)}, not {_list(frozenset(values))}.")
        return Template(self.system).substitute(values), Template(self.user).substitute(values)


def shipped_folder(name: str) -> Path:
    """The folder ``name`` (``prompts`` or ``seeds``) that ships with the program, in a checkout or in the wheel."""
    spec = find_spec("rag")
    package = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else Path()
    installed = package / "data" / name
    return installed if installed.is_dir() else package.parent / name


def load_prompt(name: str, folder: Path | None = None) -> Prompt:
    """Read ``name``.md from ``folder`` if it is there, else the shipped one.

    Raises PromptError for a folder that is not there, a missing file or separator, an unknown variable or one that is
    not used.
    """
    if folder is not None and not folder.is_dir():
        raise PromptError(
            f"The folder of prompts {folder} is not there.", hint="Correct the setting prompts, or make the folder."
        )
    path = folder / f"{name}.md" if folder is not None else shipped_folder("prompts") / f"{name}.md"
    if folder is not None and not path.is_file():
        path = shipped_folder("prompts") / f"{name}.md"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(
            f"Cannot read the prompt template {path}: {error}.", hint="Restore the file from the repository."
        ) from error
    return parse_prompt(name, text, str(path))


def parse_prompt(name: str, text: str, origin: str) -> Prompt:
    """Check a template's text; ``origin`` names it in errors."""
    system, separator, user = text.partition(f"\n{_SEPARATOR}\n")
    if not separator:
        raise PromptError(
            f"{origin} has no line of three dashes between system and user text.",
            hint="Put the instructions above that line, the question below it.",
        )
    found: set[str] = set()
    for part in (system, user):
        template = Template(part)
        if not template.is_valid():
            raise PromptError(f"{origin} has a '$' that starts no variable name.", hint="Write '$$' for a dollar sign.")
        found.update(template.get_identifiers())
    expected = VARIABLES[name]
    if found - expected:
        raise PromptError(
            f"{origin} uses the unknown variable {_list(frozenset(found - expected))}.",
            hint=f"This template may use {_list(expected)}.",
        )
    if expected - found:
        raise PromptError(f"{origin} does not use {_list(frozenset(expected - found))}, which it needs.")
    return Prompt(name, system.strip(), user.strip(), hashlib.sha256(text.encode()).hexdigest())


def in_braces(prompt: Prompt) -> str:
    """The template with its variables as ``{name}`` and its own braces doubled, as LlamaIndex and ``str.format`` do."""
    text = f"{prompt.system}\n{_SEPARATOR}\n{prompt.user}".replace("{", "{{").replace("}", "}}")
    return re.sub(r"\$(?:\$|(\w+))", lambda found: f"{{{found[1]}}}" if found[1] else "$", text)


def from_braces(name: str, text: str) -> Prompt:
    """The template that ``in_braces`` wrote, perhaps changed since. Raises PromptError as ``parse_prompt`` does."""
    dollars = re.sub(
        r"\{\{|\}\}|\{(\w+)\}|\$", lambda found: f"${{{found[1]}}}" if found[1] else _PLAIN[found[0]], text
    )
    return parse_prompt(name, dollars, f"the given prompt {name}")


def _list(names: frozenset[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names)) or "nothing"
