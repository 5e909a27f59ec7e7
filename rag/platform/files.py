"""Files: locks, what is on the disk for certain, opening without following links, and how paths are written down."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path, PurePath, PureWindowsPath

# Windows would else change line ends in what is read and written by descriptor.
_BINARY = getattr(os, "O_BINARY", 0)
_LONGEST = 240
"""Characters of a path from which Windows wants it marked as long (its limit is 260, a new file's name included)."""
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in "123456789¹²³")]
)
_UNWRITABLE = frozenset('<>:"|?*\\') | {chr(code) for code in range(32)}


class Busy(OSError):
    """Somebody else holds the lock."""


def open_private(path: Path, *, create: bool = True, empty: bool = False) -> int:
    """A descriptor to read and write ``path``, which is made for its owner alone; not inherited by children.

    ``empty`` throws away what was in it. Raises OSError.
    """
    flags = os.O_RDWR | _BINARY | (os.O_CREAT if create else 0) | (os.O_TRUNC if empty else 0)
    return os.open(path, flags, 0o600)


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Take the lock of an open file, which ends with ``unlock`` or the process. Raises Busy at once, OSError.

    On Windows every lock is exclusive, and what is locked can be neither read nor written by others: lock a file that
    nothing is in.
    """
    import portalocker

    kind = portalocker.LockFlags.SHARED if shared and sys.platform != "win32" else portalocker.LockFlags.EXCLUSIVE
    try:
        portalocker.lock(descriptor, kind | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked as error:
        raise Busy(*_system_error(error).args) from error
    except portalocker.LockException as error:
        raise _system_error(error) from error


def unlock(descriptor: int) -> None:
    """Give the lock back, also from a child that is just being started and has a copy of the descriptor."""
    import portalocker

    portalocker.unlock(descriptor)


def _system_error(error: BaseException) -> OSError:
    """What the operating system said, which the library hands on inside its own error."""
    known: BaseException | None = error
    while known is not None and not isinstance(known, OSError):
        inner = next((one for one in known.args if isinstance(one, OSError)), None)
        known = inner or known.__cause__ or known.__context__
    return known if isinstance(known, OSError) else OSError(str(error))


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk. Windows does the latter by itself."""
    if sys.platform == "win32":
        if path.is_dir():
            return
        flags = os.O_RDWR  # it syncs nothing that was opened for reading
    else:
        flags = os.O_RDONLY
    descriptor = os.open(path, flags | _BINARY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def usable_part(part: str) -> bool:
    """Whether every system takes this as a file's name as it is: Windows keeps names such as ``con`` and ``nul.txt``
    for devices, takes a dot or a space off the end, and cannot write some characters."""
    return not (
        PurePath(part).name != part
        or part.split(".")[0].rstrip(" ").casefold() in _RESERVED
        or part.endswith((".", " "))
        or _UNWRITABLE & set(part)
    )


def usable_here(part: str) -> bool:
    """Whether this system takes it so."""
    return sys.platform != "win32" or usable_part(part)


def real_path(path: Path, *, there: bool = True) -> Path:
    """Where it really is: whole, without links, and in the letters that the disk has, where big and small ones mean the
    same. Raises OSError and, for a circle of links, RuntimeError as ``Path.resolve`` does in strict mode; not where it
    need not be ``there``."""
    real = path.resolve(strict=True) if there else Path(os.path.realpath(path))
    if sys.platform == "darwin" and (there or real.exists()):
        import fcntl

        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK)
        try:
            told = fcntl.fcntl(descriptor, fcntl.F_GETPATH, b"\0" * 1_024)
        finally:
            os.close(descriptor)
        return Path(os.fsdecode(told.rstrip(b"\0")))
    return real


def as_text(path: PurePath | str) -> str:
    """A path as text that UTF-8 can hold, written with ``/``: bytes that are no UTF-8 are written as ``\\xNN``, and a
    drive stands behind a slash as a folder does (``C:\\a\\b`` is ``/C:/a/b``), so that whole paths begin with one."""
    if isinstance(path, PureWindowsPath):
        written = path.as_posix()
        return _utf8(f"/{written}" if path.drive and not written.startswith("/") else written)
    return _utf8(os.fspath(path))


def _utf8(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def long(path: Path) -> Path:
    """The same file, by a path that Windows takes at any length."""
    if sys.platform == "win32" and path.is_absolute() and len(str(path)) >= _LONGEST:
        plain = str(path)
        if not plain.startswith("\\\\?\\"):
            return Path(f"\\\\?\\UNC\\{plain[2:]}" if plain.startswith("\\\\") else f"\\\\?\\{plain}")
    return path


if sys.platform == "win32":

    def open_plain(path: Path) -> int:
        """A descriptor of the file for reading, none of the folders on the way and not itself a link. Raises OSError.

        A link put there between the look and the opening is found out by the file's number.
        """
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
        for folder in reversed(absolute.parents):
            _expect_no_link(folder, os.lstat(long(folder)))
        looked = os.lstat(long(absolute))
        _expect_no_link(absolute, looked)
        if not stat.S_ISREG(looked.st_mode):
            raise OSError(f"{absolute.name} is no regular file")
        descriptor = os.open(long(absolute), os.O_RDONLY | _BINARY)
        opened = os.fstat(descriptor)
        if (opened.st_dev, opened.st_ino) != (looked.st_dev, looked.st_ino):
            os.close(descriptor)
            raise OSError(f"{absolute.name} was exchanged while it was opened")
        return descriptor

    def _expect_no_link(path: Path, status: os.stat_result) -> None:
        """Links and junctions are refused; other reparse points, such as a cloud's placeholders, are plain files."""
        junction = getattr(status, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
        if stat.S_ISLNK(status.st_mode) or junction:
            raise OSError(f"{path.name} is a link")

else:
    if sys.platform == "linux":
        _O_PATH = os.O_PATH
    else:
        _O_PATH = os.O_RDONLY

    def open_plain(path: Path) -> int:
        """A descriptor of the file for reading, every folder on the way opened by itself and without following links;
        opening a pipe or a device neither waits nor reads. Raises OSError."""
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
        folder = os.open(absolute.anchor, _O_PATH | os.O_DIRECTORY)
        try:
            for part in absolute.parts[1:-1]:
                below = os.open(part, _O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = below
            return os.open(absolute.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
