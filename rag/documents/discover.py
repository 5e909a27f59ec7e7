"""Find the files to ingest and read them, never leaving the folders that were named."""

from __future__ import annotations

import os
import stat
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from rag.config import Limits
from rag.documents.formats import media_type, readable, shown
from rag.errors import DocumentError, LimitExceeded, PathError, UnsupportedFormat
from rag.platform.files import as_text, long, open_plain, real_path

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MEGABYTE = 2**20
IGNORE_FILE = ".ragignore"
_SETTLED_NS = 2_000_000_000
"""The coarsest times that file systems in use keep."""
_KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISLNK, "a link"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read. ``path`` may not pass through a link; ``discover`` resolves them.

    ``origin`` is where it was found, an absolute path: the same through whatever folder it is reached. ``name`` is its
    path below the ingested folder, or its own name; ``source`` the same with as many folders in front as tell it from
    the other files found with it. ``signature`` is what it looked like on the disk: the same one means the same bytes,
    none that it may not.
    """

    path: Path
    source: str
    origin: str = ""
    name: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that cannot become a document, and why."""

    source: str
    error: DocumentError
    path: Path
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What there is to ingest and what is refused, each sorted by source."""

    files: tuple[SourceFile, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """An entry below ``folder``, at ``below``; ``path`` is where it really is, which is there where it is ``plain``."""

    folder: Path
    below: str
    path: Path
    error: DocumentError | None
    signature: str = ""
    plain: bool = False

    @property
    def place(self) -> Path:
        """Where it was found, which may be a link."""
        return self.path if self.plain else self.folder / self.below


def is_address(text: str) -> bool:
    """Whether this is the address of a page of the web rather than a path."""
    return text.lower().startswith(("http://", "https://"))


def discover(paths: Sequence[Path | str], limits: Limits) -> Discovery:
    """The files at and below ``paths``. Hidden ones below a folder are left out without a word.

    Links out of the folder, links to folders, pipes, devices, unsupported and oversized files are refused, unread.
    Files that would have the same source are told apart by the folders above them. Raises PathError for a path that
    does not exist or cannot be read, and for a folder with nothing in it.
    """
    found: dict[Path, _Found] = {}
    for path in paths:
        for entry in _below(Path(path), limits):
            found.setdefault(entry.place, entry)
    return _discovery(list(found.values()))


def _discovery(found: list[_Found]) -> Discovery:
    files, refused = [], []
    for source, entry in sorted(zip(_sources(found), found, strict=True), key=itemgetter(0)):
        origin = as_text(entry.place)
        if entry.error is None:
            files.append(SourceFile(entry.path, source, origin, as_text(entry.below), entry.signature))
        else:
            refused.append(Refused(source, entry.error, entry.path, origin))
    return Discovery(tuple(files), tuple(refused))


def discover_folder(
    folder: Path, limits: Limits, include: Sequence[str] = (), exclude: Sequence[str] = (),
    only: Collection[Path] | None = None,
) -> Discovery:  # fmt: skip
    """The files below ``folder`` as ``discover`` finds them, but for those that a ``.ragignore`` of their folder or of
    one above leaves out, those that match ``exclude``, and those that match none of ``include``, if there is any.

    All are patterns as in a ``.gitignore``. Raises PathError for what is no folder, cannot be read, or is no pattern.
    An empty folder is an empty discovery. ``only`` are paths in the folder, without links on the way: what lies at and
    below them is found, and nothing else.
    """
    try:
        real = real_path(folder)
        if not real.is_dir():
            raise PathError(f"{shown(str(folder))} is no folder.", hint="Give the folder it lies in.")
    except (FileNotFoundError, NotADirectoryError, RuntimeError, ValueError) as error:
        raise PathError(
            f"There is no folder {shown(str(folder))}.", hint="Check its spelling, and that its disk is mounted."
        ) from error
    rules = _Rules.of(include, exclude)
    walk = _walk(real, limits, rules) if only is None else _walk_only(real, limits, rules, only)
    return _discovery(list(walk))


def read_file(file: SourceFile, limits: Limits) -> bytes:
    """The file's bytes. Raises LimitExceeded when there are more than ``limits.file_mb`` MB, else DocumentError.

    No component of the path is followed if it has become a link since it was discovered, and opening a pipe or a
    device neither waits nor reads.
    """
    try:
        with os.fdopen(open_plain(file.path), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _not_regular(file.source, status.st_mode)
            _check_size(file.source, status.st_size, limits)
            data = stream.read(limits.file_mb * MEGABYTE + 1)
    except IsADirectoryError as error:
        raise _not_regular(file.source, stat.S_IFDIR) from error
    except OSError as error:
        raise _unreadable(file.source, error) from error
    _check_size(file.source, len(data), limits)
    return data


def _check_size(source: str, size: int, limits: Limits) -> None:
    if size > limits.file_mb * MEGABYTE:
        raise LimitExceeded(
            f"{shown(source)} is larger than {limits.file_mb:,} MB (limits.file_mb).",
            hint="Split the file, or raise limits.file_mb.",
        )


def _not_regular(source: str, mode: int) -> DocumentError:
    kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
    return DocumentError(f"{shown(source)} is {kind}, which is never read.", hint="Leave it out, or copy its content.")


def _unreadable(source: str, error: OSError) -> DocumentError:
    return DocumentError(
        f"{shown(source)} cannot be read: {error.strerror or error}.",
        hint="Check its permissions, and that no link leads to it.",
    )


def _below(path: Path, limits: Limits) -> Iterator[_Found]:
    """The entries at one given path, which may itself be a link or hidden: it was named."""
    try:
        real = real_path(path)
        folder = real.is_dir()
    except (FileNotFoundError, NotADirectoryError, RuntimeError, ValueError) as error:
        raise PathError(f"There is no file or folder {shown(str(path))}.", hint="Check its spelling.") from error
    except OSError as error:
        raise _closed(path, error) from error
    if not folder:
        # The path itself, even when it is a link: what it leads to may be found by its own path, too.
        yield _judge(real_path(path.parent), path.name, real, limits)
        return
    empty = True
    for entry in _walk(real, limits):
        empty = False
        yield entry
    if empty:
        raise PathError(
            f"The folder {shown(str(path))} holds nothing to ingest.",
            hint=f"Put files into it ({readable()}), or check that its disk is mounted.",
        )


def _closed(path: Path, error: OSError) -> PathError:
    return PathError(f"{shown(str(path))} cannot be read: {error.strerror or error}.", hint="Check its permissions.")


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is left out of a folder: by patterns of its own and, from the innermost outwards, of the folders on the way
    to it, each with the place it holds for."""

    include: GitIgnoreSpec | None
    exclude: GitIgnoreSpec
    ignored: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> _Rules:
        return cls(_patterns(include, "include") if include else None, _patterns(exclude, "exclude"))

    def inside(self, folder: Path, below: str) -> _Rules:
        """The rules with those that ``folder`` itself has."""
        try:
            with os.fdopen(open_plain(folder / IGNORE_FILE), "rb") as stream:
                regular = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
                text = stream.read(MEGABYTE).decode("utf-8", "replace") if regular else ""
        except OSError:
            return self
        spec = _patterns(text.splitlines(), str(folder / IGNORE_FILE))
        return replace(self, ignored=((below, spec), *self.ignored))

    def leave_out(self, below: str, *, folder: bool) -> bool:
        if not self.ignored and not self.exclude and self.include is None:
            return False
        path = f"{below}/" if folder else below
        if self.exclude.match_file(path):
            return True
        for place, spec in self.ignored:
            verdict = spec.check_file(path[len(place) :]).include
            if verdict is not None:
                if verdict:
                    return True
                break
        return not folder and self.include is not None and not self.include.match_file(path)


def _patterns(lines: Sequence[str], where: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise PathError(
            f"A pattern of {shown(where)} is none: {error}.", hint="Write it as in a .gitignore."
        ) from error


def _walk_only(root: Path, limits: Limits, rules: _Rules, only: Collection[Path]) -> Iterator[_Found]:
    """What ``_walk`` finds at and below these paths."""
    for path in only:
        below = path.relative_to(root)
        if any(parent in only for parent in path.parents) or any(part.startswith(".") for part in below.parts):
            continue
        folder = path.is_dir() and not path.is_symlink()
        inner, left_out, above = rules, False, [*reversed(below.parents)]
        for within, entry in zip(above, [*above[1:], below], strict=False):
            inner = inner.inside(root / within, "" if within == Path() else f"{within.as_posix()}/")
            left_out = left_out or inner.leave_out(entry.as_posix(), folder=folder or entry != below)
        if left_out or not os.path.lexists(path):
            continue
        if folder:
            yield from _walk(root, limits, inner, path)
        else:
            yield _entry(root, below.as_posix(), path, limits, link=path.is_symlink())


def _walk(root: Path, limits: Limits, rules: _Rules | None = None, start: Path | None = None) -> Iterator[_Found]:
    """Every visible entry below ``root`` (or ``start`` in it) that is not a folder and not left out, without
    recursion."""
    folders = [(start or root, rules)]
    while folders:
        folder, rules = folders.pop()
        within = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        rules = rules and rules.inside(folder, within)
        try:
            with os.scandir(long(folder)) as listing:
                entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            if folder == root:
                raise _closed(root, error) from error
            below = folder.relative_to(root).as_posix()
            yield _Found(root, below, folder, _unreadable(below, error))
            continue
        for entry in entries:
            path = folder / entry.name
            if rules and rules.leave_out(within + entry.name, folder=entry.is_dir(follow_symlinks=False)):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((path, rules))
            else:
                yield _entry(root, within + entry.name, path, limits, link=entry.is_symlink())


def _entry(root: Path, below: str, path: Path, limits: Limits, *, link: bool) -> _Found:
    return _linked(root, below, path, limits) if link else _judge(root, below, path, limits, plain=True)


def _linked(root: Path, below: str, link: Path, limits: Limits) -> _Found:
    """A link inside a folder: taken if it leads to a file inside that folder, else refused."""
    try:
        target = link.resolve(strict=True)
        if target.is_relative_to(root) and not target.is_dir():
            return _judge(root, below, target, limits)
        reason = "is a link to a folder" if target.is_relative_to(root) else "is a link that leads out of its folder"
    except (OSError, RuntimeError):
        reason = "is a link that leads nowhere"
    error = DocumentError(
        f"{shown(below)} {reason}; it is not followed.", hint="Add what it points to by its own path."
    )
    return _Found(root, below, link, error)


def _judge(root: Path, below: str, path: Path, limits: Limits, *, plain: bool = False) -> _Found:
    """Whether the entry is a regular file of a known format within the size limit, by its looks alone."""
    error: DocumentError | None = None
    signature = ""
    try:
        status = long(path).lstat()
        signature = _signature(status)
        if not stat.S_ISREG(status.st_mode):
            error = _not_regular(below, status.st_mode)
        else:
            media_type(below)
            _check_size(below, status.st_size, limits)
    except OSError as fault:
        error = _unreadable(below, fault)
    except (UnsupportedFormat, LimitExceeded) as refusal:
        error = refusal
    return _Found(root, below, path, error, signature, plain)


def _signature(status: os.stat_result) -> str:
    """What changes when a file does: size, times and number. Empty for one that changed so lately that another change
    might bear the same time."""
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED_NS:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def _sources(entries: list[_Found]) -> list[str]:
    """A source for each, all different: the path below the folder, preceded by as many folders above as it takes."""
    above = [0] * len(entries)
    sources = [_source(entry, 0) for entry in entries]
    while True:
        named: defaultdict[str, list[int]] = defaultdict(list)
        for index, source in enumerate(sources):
            named[source].append(index)
        clashes = [index for indices in named.values() if len(indices) > 1 for index in indices]
        growing = [index for index in clashes if above[index] < len(entries[index].folder.parts) - 1]
        if not growing:
            return sources
        for index in growing:
            above[index] += 1
            sources[index] = _source(entries[index], above[index])


def _source(entry: _Found, above: int) -> str:
    """The source with ``above`` folders in front."""
    if not above:
        return as_text(entry.below)
    return as_text("/".join((*entry.folder.parts[-above:], entry.below)))
