"""A Chroma server for the tests: a real ``chroma run`` on loopback, that can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

RUN = "import sys; from chromadb.cli.cli import app; sys.argv = ['chroma', *sys.argv[1:]]; app()"


class ChromaRun:
    """``chroma run`` over a folder, on a port of its own that stays the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self._child: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        assert self._child is None
        command = [sys.executable, "-c", RUN, "run", "--path", str(self.folder), "--host", "127.0.0.1", "--port",
                   str(self.port)]  # fmt: skip
        self._child = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
        )  # fmt: skip
        ended = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{self.address}/api/v2/heartbeat", timeout=5).raise_for_status()
            except httpx.HTTPError:
                assert self._child.poll() is None and time.monotonic() < ended, "chroma run did not start"
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, by SIGKILL if asked; may be called twice."""
        child, self._child = self._child, None
        if child is not None:
            child.send_signal(how)
            child.wait(60)
