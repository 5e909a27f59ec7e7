"""Listening: the socket, uvicorn, and the end of both."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from rag.api.front import Front
from rag.api.guard import is_loopback
from rag.errors import ConfigError
from rag.platform.signals import ENDING

logger = logging.getLogger(__name__)

_TRIES = 50
_MOST_CONNECTIONS = 256
_LAST_WORDS_SECONDS = 1
PERIOD_SECONDS = 15.0
_LEAST_BYTES = 1_000


def listen(host: str, port: int, *, exactly: bool, guarded: bool = False) -> socket.socket:
    """A socket on ``host`` and ``port``; unless ``exactly``, on the next free port. Raises ConfigError.

    Away from loopback a warning is logged, unless ``guarded``: there is a login, or keys.
    """
    if not is_loopback(host) and not guarded:
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


def address_of(listener: socket.socket, front: Front | None = None) -> str:
    """Where a browser on this machine finds the page."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    scheme = "https" if front is not None and front.tls else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM (systemd, Docker) and SIGHUP (a terminal that closes; on Windows SIGBREAK) end the block as Ctrl-C does,
    with KeyboardInterrupt; a second one changes nothing while it ends. Nothing changes outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]  # nohup's stays ignored
    for number in heard:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def configured(app: Any, lifespan: Literal["on", "off"] = "on", front: Front | None = None) -> uvicorn.Config:
    """How every page is served. Prints nothing."""
    return uvicorn.Config(
        app,
        http=_Connection,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan=lifespan,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_WORDS_SECONDS,
        ssl_certfile=front.certificate if front is not None and front.tls else None,
        ssl_keyfile=front.key if front is not None and front.tls else None,
    )


def run(app: Any, listener: socket.socket, on_ready: Callable[[], None], front: Front | None = None) -> None:
    """Serve until Ctrl-C or a signal that means the same; streams that are still open then are cut after a second."""
    server = _Server(configured(app if front is None else front.before(app), front=front), on_ready)
    log = logging.getLogger("uvicorn.error")
    log.addFilter(server.still_serving)  # the streams it cuts at the end are no errors
    try:
        with listener, contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        log.removeFilter(server.still_serving)
        for number in ENDING:
            if signal.getsignal(number) in (_interrupt, server.handle_exit):
                signal.signal(number, signal.SIG_IGN)  # it ends already


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    def still_serving(self, _: logging.LogRecord) -> bool:
        """Whether nobody has asked it to end."""
        return not self.should_exit

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's own, for all that ends a program."""
        with super().capture_signals():
            for number in ENDING:
                if signal.getsignal(number) is _interrupt:
                    signal.signal(number, self.handle_exit)
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


class _Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that must make progress: a request's head is there within a period or two, and its body comes at
    ``_LEAST_BYTES`` a period at least. How long an answer takes is not its matter."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._came = 0
        self._waiting: object = self  # for a request, since the last look: the request before it, or this
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        super().data_received(data)

    def _look_again(self) -> None:
        self._timer = self.loop.call_later(PERIOD_SECONDS, self._look)

    def _look(self) -> None:
        cycle = self.cycle
        waiting = (cycle or self) if cycle is None or cycle.response_complete else None
        slow = waiting is None and cycle.more_body and self._came < _LEAST_BYTES and not self.flow.read_paused
        if slow or (waiting is not None and waiting is self._waiting):
            self.transport.close()
            return
        self._waiting, self._came = waiting, 0
        self._look_again()
