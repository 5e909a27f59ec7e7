"""The guard that keeps tests on this machine is itself tested."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest


def test_connections_beyond_loopback_are_refused() -> None:
    with socket.socket() as s, pytest.raises(RuntimeError, match="stay on this machine"):
        s.connect(("192.0.2.1", 80))
    with pytest.raises(RuntimeError, match="stay on this machine"):
        socket.getaddrinfo("example.org", 80)


def test_child_processes_are_guarded_too() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "stay on this machine" in done.stderr


def test_loopback_is_allowed() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=5):
            pass
