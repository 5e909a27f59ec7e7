"""``pytest --gold tests/data/seeds.yaml``: a test item for each gold question, and the ``gold_case`` fixture.

Inert without ``--gold``: nothing of the program is imported then, and tests that ask for ``gold_case`` are skipped.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rag.gold.commands.pytest_items import GoldCase, GoldRoom

_ROOM = "rag_gold_room"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own."""
    group = parser.getgroup("gold", "gold question sets (rag)")
    group.addoption("--gold", action="append", default=[], metavar="FILE", help="Ask the questions of this gold set.")
    group.addoption("--gold-library", metavar="FOLDER", help="The library to ask (the configured one).")
    group.addoption("--gold-collection", metavar="NAME", help="Its collection (the configured one).")
    group.addoption("--gold-corpus", metavar="FOLDER", help="Read this folder into a library made for these tests.")
    group.addoption("--gold-llm", metavar="NAME", help="auto, quotes or ollama:NAME (the configured one).")
    group.addoption("--gold-tag", action="append", default=[], metavar="TAG", help="Only questions with this tag.")
    group.addoption("--gold-retrieval-only", action="store_true", help="Search, but do not answer.")
    group.addoption("--gold-allow-corpus-change", action="store_true", help="Compare although documents have changed.")


def pytest_configure(config: pytest.Config) -> None:
    """With ``--gold``: remember the files, and collect those that no other argument covers."""
    files = config.getoption("--gold")
    if not files:
        return
    from rag.gold.commands.pytest_items import GoldRoom

    paths = [Path(file).absolute() for file in files]
    if missing := [file for file, path in zip(files, paths, strict=True) if not path.is_file()]:
        raise pytest.UsageError(f"--gold: there is no file {missing[0]}; check the path.")
    config.pluginmanager.register(GoldRoom(config, tuple(paths)), _ROOM)
    roots = [config.rootpath / str(argument).partition("::")[0] for argument in config.args]
    config.args.extend(str(path) for path in paths if not any(path.is_relative_to(root) for root in roots))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The gold files that were named."""
    room = _room(parent.config)
    if room is None or file_path.absolute() not in room.files:
        return None
    from rag.gold.commands.pytest_items import GoldFile

    return GoldFile.from_parent(parent, path=file_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a ``gold_case`` runs once for each question."""
    if "gold_case" in metafunc.fixturenames:
        cases: tuple[GoldCase, ...] = ()
        room = _room(metafunc.config)
        # An invalid gold set is told where it is collected itself: an error here would pass through other plugins.
        with suppress(pytest.Collector.CollectError):
            cases = room.cases() if room is not None else ()
        metafunc.parametrize("gold_case", cases, ids=[case.question.id for case in cases])


@pytest.fixture
def gold_case() -> GoldCase:
    """One question of the gold set: ``gold_case.question``, ``gold_case.record`` (asked when first read),
    ``gold_case.outcome`` (against the baseline) and ``gold_case.check()``."""
    raise AssertionError("gold_case is always parametrized")


def _room(config: pytest.Config) -> GoldRoom | None:
    room: GoldRoom | None = config.pluginmanager.get_plugin(_ROOM)
    return room
