"""Where the Ollama server is: ``OLLAMA_HOST`` in all the forms that Ollama itself accepts."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from rag.errors import ConfigError

DEFAULT_PORT = 11434
_SCHEME_PORTS = {"http": 80, "https": 443}
_LOOPBACK_FOR = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_NAME = re.compile(r"[^\s/?#@:\[\]\\%\x00-\x1f\x7f]+")


def resolve_host(value: str, environ: Mapping[str, str] | None = None) -> str:
    """The base URL, without a slash at its end, for ``value``, else for ``OLLAMA_HOST``, else for the default.

    The forms follow Ollama's ``envconfig``: ``host``, ``host:port``, ``:port``, IPv6 with or without brackets, with a
    scheme (whose own port is then the default), with a path prefix; surrounding space and quotes are stripped. A
    listening address (``0.0.0.0``, ``::``) becomes the loopback one, which is what a client can connect to.
    Raises ConfigError for anything else.
    """
    environ = os.environ if environ is None else environ
    text = _strip(value) or _strip(environ.get("OLLAMA_HOST", ""))
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    scheme = scheme.lower()
    if scheme not in _SCHEME_PORTS:
        raise _invalid(text, f"the scheme must be http or https, not {scheme!r}")
    authority, _, path = rest.partition("/")
    user, at, address = authority.rpartition("@")
    host, port = _split_port(address, _SCHEME_PORTS[scheme] if separator else DEFAULT_PORT, text)
    host = _LOOPBACK_FOR.get(host, host)
    shown = f"[{host}]" if ":" in host else host
    prefix = f"/{path.strip('/')}" if path.strip("/") else ""
    if re.search(r"[\s?#\\\"'\x00-\x1f\x7f]", prefix + user) or re.search(r"[\[\]@]", user):
        raise _invalid(text, "the part around the host has characters that an address may not have")
    url = f"{scheme}://{user}{at}{shown}:{port}{prefix}"
    try:
        urlsplit(url)
    except ValueError as error:  # such as a character that Unicode normalises to a slash
        raise _invalid(text, str(error)) from error
    return url


def _strip(text: str) -> str:
    return text.strip().strip("\"'").strip()


def _split_port(address: str, default: int, text: str) -> tuple[str, int]:
    bare = address.strip("[]")
    if _is_ip(bare):
        return str(ipaddress.ip_address(bare)), default
    host, colon, port = address.rpartition(":")
    if not colon:
        host, port = address, str(default)
    host = host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) <= 65535:
        raise _invalid(text, f"the port must be a number from 1 to 65535, not {port!r}")
    if _is_ip(host):
        return str(ipaddress.ip_address(host)), int(port)
    if host and not _NAME.fullmatch(host):
        raise _invalid(text, f"{host!r} is no host name")
    return host, int(port)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _invalid(text: str, reason: str) -> ConfigError:
    return ConfigError(
        f"The address of the Ollama server, {redact(text)!r}, is not valid: {reason}.",
        hint="Set OLLAMA_HOST (or the setting ollama_host) to something like 127.0.0.1:11434 or http://host:11434.",
    )


def is_loopback(base_url: str) -> bool:
    """Whether the address is this machine's own loopback."""
    host = urlsplit(base_url).hostname or ""
    if _is_ip(host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def is_cloud_host(base_url: str) -> bool:
    """Whether the address is Ollama's own cloud."""
    host = urlsplit(base_url).hostname or ""
    return host == "ollama.com" or host.endswith(".ollama.com")


def host_and_port(base_url: str) -> tuple[str, int]:
    """What a socket connects to."""
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or _SCHEME_PORTS[parts.scheme]


def redact(address: str) -> str:
    """The address without a user's name and password, fit for a message."""
    return re.sub(r"(^|//)[^/]*@", r"\1", address)
