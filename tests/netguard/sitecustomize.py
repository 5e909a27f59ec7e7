"""On the path of every test process and its children: a connection or look-up beyond this machine fails."""

import sys
from ipaddress import ip_address

_LOCAL_NAMES = {"localhost", "", None, "0.0.0.0", "::"}


class NetworkDenied(RuntimeError):
    """A test tried to leave the machine."""


def _local(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in _LOCAL_NAMES:
        return True
    try:
        return ip_address(str(host).split("%")[0].strip("[]")).is_loopback
    except ValueError:
        return False


def deny(event: str, arguments: tuple[object, ...]) -> None:
    """The audit hook: raises NetworkDenied for a socket address or name that is not this machine's."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and not _local(address[0]):
            raise NetworkDenied(f"{event} to {address!r}: tests stay on this machine")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _local(arguments[0]):
        raise NetworkDenied(f"look-up of {arguments[0]!r}: tests stay on this machine")


sys.addaudithook(deny)
