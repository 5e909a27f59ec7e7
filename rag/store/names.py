"""The names that documents are shown by: the shortest that tells each from the others of its collection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

_INSIDE = "inside:"


@dataclass(frozen=True, slots=True)
class Named:
    """A document by where it came from (``origin``: a path when it begins with a slash), its shortest ``name`` and
    the one it is shown by."""

    id: int
    origin: str
    name: str
    shown: str


def name_documents(
    new: Named, namesakes: Iterable[Named], holder: Callable[[str], Named | None]
) -> tuple[str, dict[int, str]]:
    """The name to show ``new`` by, and those of the known documents that need another one now, by their number.

    ``namesakes`` are the known documents of the same shortest name; ``holder`` finds the one shown by a name. Files are
    told apart by the folders above them, everything else by a number.
    """
    members = {one.id: one for one in (new, *namesakes)}
    before = {number: 0 if number == new.id else _above(one) for number, one in members.items()}
    above = {n: max(count, 1) if len(members) > 1 and _folders(members[n]) else count for n, count in before.items()}

    def shown(number: int) -> str:
        kept = number != new.id and above[number] == before[number]
        return members[number].shown if kept else _shown(members[number], above[number])

    while True:
        for name in {shown(number) for number in members}:
            other = holder(name)
            if other is not None and other.id not in members:
                members[other.id] = other
                before[other.id] = above[other.id] = _above(other)
        clashing = defaultdict(list)
        for number in members:
            clashing[shown(number)].append(number)
        clashes = [numbers for numbers in clashing.values() if len(numbers) > 1]
        if not clashes:
            return shown(new.id), {n: shown(n) for n in members if n != new.id and shown(n) != members[n].shown}
        for numbers in clashes:
            growing = [n for n in numbers if above[n] < _folders(members[n])]
            for number in growing or [new.id if new.id in numbers else max(numbers)]:
                above[number] += 1


def inside(origin: str, name: str = "") -> str:
    """The origin of a file inside the one that came from ``origin``; without a name, what such origins begin with."""
    return f"{'' if origin.startswith(_INSIDE) else _INSIDE}{origin}#{name.replace('#', '_')}"


def outer_origins(origin: str) -> list[str]:
    """The origins that a file may lie inside of, the outermost first, and its own at last: a path may hold a "#"."""
    parts = origin.removeprefix(_INSIDE).split("#")
    return ["#".join(parts[:count]) for count in range(1, len(parts) + 1)]


def numbered(name: str, number: int) -> str:
    """``report.md`` as ``report (2).md``."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem} ({number}){path.suffix}"))


def _folders(one: Named) -> int:
    """How many folders stand above the name in the path it came from."""
    if not one.origin.startswith("/"):
        return 0
    return max(0, one.origin.count("/") - 1 - one.name.count("/"))


def _above(one: Named) -> int:
    """How many folders a known document is shown with; beyond all of them, the number it bears."""
    for count in range(_folders(one) + 1):
        if _shown(one, count) == one.shown:
            return count
    return _folders(one)


def _shown(one: Named, above: int) -> str:
    folders = _folders(one)
    if not above:
        return one.name
    parts = one.origin.split("/")
    whole = "/".join(parts[-(1 + one.name.count("/") + min(above, folders)) :]) if folders else one.name
    return whole if above <= folders else numbered(whole, above - folders + 1)
