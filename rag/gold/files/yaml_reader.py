"""YAML with positions: every value knows its line, every scalar is text, and what is odd is refused with a remedy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from rag.errors import GoldError
from rag.gold.types import InvalidGold, Problem

T = TypeVar("T")
MAX_BYTES = 20_000_000
_DEEPEST = 50
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "value", "merge")
)
_SCALARS = {yaml.ScalarNode: "a text", yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}


class Refused(Exception):
    """One value is wrong; carries the problem up to where it is collected."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def refuse(node: yaml.Node, message: str, remedy: str) -> NoReturn:
    """Raise Refused for ``node``."""
    raise Refused(Problem(line_of(node), message, remedy))


def line_of(node: yaml.Node) -> int:
    """The line, from 1."""
    return int(node.start_mark.line) + 1


def read_yaml(path: Path) -> tuple[yaml.Node, bytes]:
    """The root node and the bytes of the file. Raises InvalidGold (syntax) or GoldError (cannot be read)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GoldError(f"Cannot read the gold set {path}: {error.strerror}.", hint="Check the path.") from error
    if len(data) > MAX_BYTES:
        raise InvalidGold(str(path), (Problem(1, "The file is over 20 MB.", "Split it into several gold sets."),))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(line, "The file is not UTF-8.", "Save it as UTF-8.")
        raise InvalidGold(str(path), (problem,)) from error
    return parse_yaml(text, str(path)), data


def parse_yaml(text: str, path: str) -> yaml.Node:
    """The root node of ``text``. Raises InvalidGold with the line of a syntax error, or when there is nothing."""
    try:
        root = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        problem = Problem(mark.line + 1 if mark else 1, f"Not valid YAML: {what}.", _yaml_remedy(what))
        raise InvalidGold(path, (problem,)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = Problem(line, f"A character is not allowed in YAML: {error.reason}.", "Remove it.")
        raise InvalidGold(path, (problem,)) from error
    except RecursionError as error:
        problem = Problem(1, "The file is nested too deeply.", "Write it as the format says.")
        raise InvalidGold(path, (problem,)) from error
    if root is None:
        raise InvalidGold(path, (Problem(1, "The file is empty.", "Start it with 'version: 1' and 'questions:'."),))
    node: yaml.Node = root
    return node


def _compose(text: str) -> Any:
    # libyaml is eight times as fast and terse; whatever it refuses is read again by the one that says what is wrong.
    with suppress(yaml.YAMLError, UnicodeError):
        return _composed(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return _composed(text, yaml.SafeLoader)


def _composed(text: str, loader: Any) -> Any:
    """The root node. Anchors and aliases are refused, since nothing in a gold set is written by reference and these can
    explode, and so is what nests deeper than any gold set; both before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            mark: Any = event.start_mark
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not used here", mark)
        if depth > _DEEPEST:
            raise RecursionError
    return yaml.compose(text, Loader=loader)


def _yaml_remedy(what: str) -> str:
    if "tab" in what or "\\t" in what:
        return "Indent with spaces."
    if "alias" in what:
        return "Write the value out."
    if "expected a single document" in what:
        return "Keep one document in a file."
    return "Put texts with ':', '#' or quotes between double quotes, and check the indentation."


@dataclass(slots=True)
class Reader:
    """Takes nodes apart and collects the problems of parts that can be read independently. ``format`` gives, for each
    kind of mapping, its keys with an example of each."""

    format: Mapping[str, Mapping[str, str]]
    problems: list[Problem] = field(default_factory=list)

    def attempt(self, read: Callable[[], T], default: T) -> T:
        """``read()``, or the ``default`` with its problem noted."""
        try:
            return read()
        except Refused as refused:
            self.problems.append(refused.problem)
            return default

    def each(self, nodes: list[yaml.Node], read: Callable[[yaml.Node], T | None]) -> tuple[T, ...]:
        """``read`` of every node; the problems of those that fail are noted, and they are left out."""
        done = [self.attempt(partial(read, node), None) for node in nodes]
        return tuple(value for value in done if value is not None)

    def given(self, keys: Mapping[str, yaml.Node], key: str, read: Callable[[yaml.Node], T], default: T) -> T:
        """``read`` of what stands under ``key``, or the ``default``, also where that is refused."""
        return self.attempt(partial(read, keys[key]), default) if key in keys else default

    def mapping(self, node: yaml.Node, what: str, kind: str, required: Collection[str] = ()) -> dict[str, yaml.Node]:
        """The entries whose keys the ``kind`` of mapping has. An unknown, repeated or missing key is noted, and so is
        what is no mapping at all, which has none."""
        known = self.format[kind]
        if not isinstance(node, yaml.MappingNode):
            remedy = f"Write 'key: value' with {', '.join(known)}."
            self._note(node, f"{what} must be a mapping, not {_kind(node)}.", remedy)
            return {}
        found: dict[str, yaml.Node] = {}
        wrong = len(self.problems)
        for key, value in node.value:
            name = self.attempt(partial(text, key, f"A key of {what}"), "")
            if name in found:
                self._note(key, f"The key '{name}' stands twice in {what}.", "Keep one of them.")
            elif name in known:
                found[name] = value
            elif name:
                close = get_close_matches(name, list(known), n=1)
                hint = f"Did you mean '{close[0]}'? " if close else ""
                example = known[close[0]] if close else next(iter(known.values()))
                remedy = f"{hint}Allowed here: {', '.join(known)}; for example {example}"
                self._note(key, f"Unknown key '{name}' in {what}.", remedy)
        if len(self.problems) == wrong:
            for name in (name for name in required if name not in found):
                self._note(node, f"{what} has no '{name}'.", f"Add '{name}:', for example {known[name]}")
        return found

    def _note(self, node: yaml.Node, message: str, remedy: str) -> None:
        self.problems.append(Problem(line_of(node), message, remedy))


def items(node: yaml.Node, what: str) -> list[yaml.Node]:
    """The nodes of a list."""
    if not isinstance(node, yaml.SequenceNode):
        refuse(node, f"{what} must be a list, not {_kind(node)}.", "Write one '- ' line for each entry, or [a, b].")
    return list(node.value)


def text(node: yaml.Node, what: str, *, limit: int = 8_000) -> str:
    """A scalar's text, not empty, at most ``limit`` characters. ``no``, ``12`` and ``2019-07-20`` stay as written."""
    if not isinstance(node, yaml.ScalarNode):
        refuse(node, f"{what} must be a text, not {_kind(node)}.", "Put it between double quotes.")
    if node.tag not in _PLAIN_TAGS:
        refuse(node, f"{what} has the type tag '{node.tag}'.", "Remove the tag; every value is read as text.")
    value = str(node.value).strip()
    if not value or (not node.style and value in ("~", "null")):
        refuse(node, f"{what} is empty.", "Give it a value or remove the key.")
    if len(value) > limit:
        refuse(node, f"{what} has {len(value):,} characters; the limit is {limit:,}.", "Shorten it.")
    return value


def choice(node: yaml.Node, what: str, known: tuple[str, ...]) -> str:
    """One of the ``known`` words."""
    value = text(node, what)
    if value not in known:
        refuse(node, f"{what} is '{value[:60]}'.", f"Use {' or '.join(known)}.")
    return value


def switch(node: yaml.Node, what: str) -> bool:
    """``true`` or ``false``."""
    return choice(node, what, ("true", "false")) == "true"


def number(node: yaml.Node, what: str, *, least: float | None = None, most: float | None = None) -> float:
    """A finite number in plain notation within the range."""
    value = text(node, what)
    try:
        result = float(value)
    except ValueError:
        result = float("nan")
    if result != result or result in (float("inf"), float("-inf")) or "_" in value:
        refuse(node, f"{what} is '{value[:60]}', not a number.", "Write digits with a decimal point, as 1577 or 0.5.")
    if (least is not None and result < least) or (most is not None and result > most):
        span = f"at least {least:g}" if most is None else f"between {least:g} and {most:g}"
        refuse(node, f"{what} is {value}.", f"It must be {span}.")
    return result


def whole(node: yaml.Node, what: str, least: int, most: int) -> int:
    """A whole number within the range."""
    value = number(node, what, least=least, most=most)
    if value != int(value):
        refuse(node, f"{what} is {value:g}.", "Use a whole number.")
    return int(value)


def _kind(node: yaml.Node) -> str:
    return _SCALARS.get(type(node), "something else")
