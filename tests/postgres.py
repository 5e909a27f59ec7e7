"""A PostgreSQL server for the tests: a cluster of its own in a temporary folder, reached by a socket in it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

USER = "postgres"


def programs() -> Path | None:
    """The folder of PostgreSQL's own programs, the newest; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    known = shutil.which("initdb")
    return None if known is None else Path(known).parent


class Server:
    """A running server, that can be killed and started again."""

    def __init__(self, folder: Path, control: Callable[..., None]) -> None:
        self.folder = folder
        self._control = control

    def start(self) -> None:
        """Start it, and return when it answers."""
        settings = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        log = str(self.folder / "log")
        self._control("-w", "-t", "120", "-l", log, "-o", f"{settings} -c max_connections=200", "start")

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self._control("-m", "immediate", "stop")

    def address(self, schema: str) -> str:
        """The address of the library in a schema, which is made."""
        base = f"postgresql://{USER}@/postgres?host={quote(str(self.folder), safe='')}"
        with psycopg.connect(base, autocommit=True) as connection:
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'.encode())
        return f"{base}&options={quote(f'-csearch_path={schema}')}"


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A server until the block ends. Skips where PostgreSQL is not installed, but in CI."""
    found = programs()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed; .ci/run installs it")
        pytest.skip("PostgreSQL is not installed (on Debian and Ubuntu: apt install postgresql)")
    as_user = ["runuser", "-u", USER, "--"] if os.getuid() == 0 else []
    data = folder / "data"
    folder.chmod(0o755)
    data.mkdir(mode=0o700)
    if as_user:
        shutil.chown(folder, USER)
        shutil.chown(data, USER)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*as_user, str(found / program), *arguments], capture_output=True, text=True, cwd=folder, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("initdb", "-D", str(data), "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C")
    running = Server(folder, partial(run, "pg_ctl", "-D", str(data)))
    running.start()
    try:
        yield running
    finally:
        running.kill()
