"""Listening: the socket, uvicorn, and the end of both."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from rag.errors import ConfigError
from ui.guard import is_loopback

logger = logging.getLogger(__name__)

_TRIES = 50
_MOST_CONNECTIONS = 256
_LAST_WORDS_SECONDS = 1


def listen(host: str, port: int, *, exactly: bool) -> socket.socket:
    """A socket on ``host`` and ``port``; unless ``exactly``, on the next free port. Raises ConfigError.

    Away from loopback a warning is logged: the page has no login.
    """
    if not is_loopback(host):
        logger.warning("Listening on %s: whoever reaches this machine can read and change the library.", host)
    for candidate in range(port, min(port + (1 if exactly or port == 0 else _TRIES), 65_536)):
        try:
            return _bound(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"Cannot listen on {host}, port {candidate}: {error.strerror}.",
                    hint="Choose another with --host and --port.",
                ) from error
    raise ConfigError(f"Port {port} on {host} is taken.", hint="Choose another with --port; 0 takes any free one.")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds the page."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def run(app: Any, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until Ctrl-C; streams that are still open then are cut after a second. Prints nothing."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_WORDS_SECONDS,
    )
    server = _Server(config, on_ready)
    log = logging.getLogger("uvicorn.error")
    log.addFilter(server.still_serving)  # the streams it cuts at the end are no errors
    try:
        with listener, contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        log.removeFilter(server.still_serving)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    def still_serving(self, _: logging.LogRecord) -> bool:
        """Whether nobody has asked it to end."""
        return not self.should_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()
