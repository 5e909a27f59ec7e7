"""A page of the web as a file, for a person who typed its address: one request, bounded, and never into this network.

The name is resolved once, each of its addresses looked at, and the connection made to one that was looked at; a name
that is resolved anew by the connection could lead elsewhere by then. The same holds for every redirection.
"""

from __future__ import annotations

import codecs
import ipaddress
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from pathlib import PurePosixPath
from urllib.parse import unquote

import httpx

from rag.config import Limits
from rag.documents.formats import FORMATS, shown, stem, suffixes
from rag.errors import DocumentError, LimitExceeded, UnsupportedFormat

_REDIRECTIONS, _SECONDS, _PATIENCE = 5, 60.0, 15.0
_PIECE = 2**16
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SUFFIXES = {
    **{kind.media_type: kind.suffixes[0] for kind in FORMATS if "*" not in kind.media_type},
    "application/xhtml+xml": ".xhtml", "application/json": ".json", "text/tab-separated-values": ".tsv",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods", "application/vnd.ms-excel": ".xls", "text/rtf": ".rtf",
    "application/vnd.oasis.opendocument.presentation": ".odp", "text/x-markdown": ".md",
    "image/png": ".png", "image/jpeg": ".jpg", "image/tiff": ".tif",
}  # fmt: skip
_UNTYPED = ("", "application/octet-stream", "binary/octet-stream", "text/plain")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave: the bytes, the file name that says their format, and the day (ISO, UTC).

    ``address`` is the one that was asked for, ``name`` the same without what every address has.
    """

    address: str
    name: str
    file: str
    data: bytes
    day: str

    @property
    def place(self) -> str:
        """Where a quotation of it is to be found, in a reader's words."""
        return f"{self.address}, fetched {self.day}"


def fetch(address: str, limits: Limits, *, private: bool = False) -> Fetched:
    """The page at an http or https address, of at most ``limits.file_mb`` MB, within a minute and five redirections.

    ``private`` allows addresses of this machine and network. Raises UnsupportedFormat for a type that is not read,
    LimitExceeded, and DocumentError for all else that goes wrong.
    """
    url = _url(address)
    deadline = time.monotonic() + _SECONDS
    with httpx.Client(trust_env=False, follow_redirects=False, timeout=_PATIENCE) as client:
        for _ in range(_REDIRECTIONS + 1):
            with closing(_ask(client, url, private=private)) as response:
                if response.has_redirect_location:
                    url = _redirected(url, response)
                    continue
                if response.status_code != httpx.codes.OK:
                    raise _failed(url, f"the server answered {response.status_code} {response.reason_phrase}".rstrip())
                return _fetched(_url(address), url, response, limits, deadline)
    raise _failed(url, f"it leads on more than {_REDIRECTIONS} times")


def _url(address: str) -> httpx.URL:
    try:
        url = httpx.URL(address.strip()).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError) as error:
        raise DocumentError(f"{shown(address)} is no address: {error}.", hint="Check its spelling.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise DocumentError(
            f"{shown(address)} is no address of a page.", hint="Only http and https addresses are fetched."
        )
    if url.userinfo:
        raise DocumentError(f"{shown(url.host)}: an address may hold no password.", hint="Save the page and add that.")
    return url


def _redirected(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    following = _url(str(url.join(response.headers["location"])))
    if url.scheme == "https" and following.scheme == "http":
        raise _failed(url, "it leads from https to http")
    return following


def _ask(client: httpx.Client, url: httpx.URL, *, private: bool) -> httpx.Response:
    """The beginning of the answer of a server that has been looked at, whichever of its addresses answers first."""
    error: Exception | None = None
    for number in _resolved(url, private=private):
        pinned = url.copy_with(host=str(number))
        request = client.build_request(
            "GET",
            pinned,
            headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "gzip, identity", "User-Agent": "rag"},
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        try:
            return client.send(request, stream=True)
        except httpx.HTTPError as failure:
            error = failure
    raise _failed(url, str(error) or type(error).__name__) from error


def _resolved(url: httpx.URL, *, private: bool) -> list[_Address]:
    """The addresses of the host, all of which may be asked."""
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    try:
        rows = socket.getaddrinfo(url.raw_host.decode("ascii").strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _failed(url, "its host is not known") from error
    found = list(dict.fromkeys(ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in rows))
    inner = next((number for number in found if not _is_public(number)), None)
    if inner is not None and not private:
        at = "" if str(inner) == url.host else f" ({inner})"
        raise DocumentError(
            f"{shown(url.host)}{at} is in this machine's own network, from which nothing is fetched.",
            hint='If you trust it, allow that: --private on the command line, addresses = "private" for the page.',
        )
    return found[:3]


def _is_public(number: _Address) -> bool:
    """Whether an address is one of the open network, also where it holds another one inside."""
    if isinstance(number, ipaddress.IPv6Address):
        within = [number.ipv4_mapped, number.sixtofour, *(number.teredo or ())]
        if number in _NAT64:
            within.append(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF))
        if not all(_is_public(one) for one in within if one is not None):
            return False
        if number.ipv4_mapped is not None:
            return True
    return number.is_global and not number.is_multicast


def _fetched(asked: httpx.URL, url: httpx.URL, response: httpx.Response, limits: Limits, deadline: float) -> Fetched:
    kind = Message()
    kind["content-type"] = response.headers.get("content-type", "")
    media = kind.get_content_type() if response.headers.get("content-type") else ""
    name = unquote(asked.path).strip("/")
    file = _file(PurePosixPath(unquote(url.path)).name or "page", media, url)
    try:
        data = _body(response, url, limits, deadline)
    except httpx.HTTPError as error:
        raise _failed(url, str(error) or type(error).__name__) from error
    query = f"?{asked.query.decode('ascii')}" if asked.query else ""
    shown_name = f"{asked.host}/{name}{query}".rstrip("/")
    day = datetime.now(UTC).date().isoformat()
    return Fetched(str(asked), shown_name, file, _in_unicode(data, kind.get_content_charset("")), day)


def _file(name: str, media: str, url: httpx.URL) -> str:
    """A file name with the suffix of the type that the server tells, or of the address where it tells none."""
    own = PurePosixPath(name).suffix.lower()
    suffix = own if media in _UNTYPED and own in suffixes() else _SUFFIXES.get(media, "")
    if not suffix:
        kind = f"of the type {shown(media)}" if media else "of no type"
        raise UnsupportedFormat(
            f"{shown(str(url))} is {kind}, which is not read.",
            hint="Save it as a file that is read, and add that.",
        )
    return f"{stem(name)}{suffix}"


def _body(response: httpx.Response, url: httpx.URL, limits: Limits, deadline: float) -> bytes:
    most = limits.file_mb * 2**20
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise _too_long(url, limits)
    data = bytearray()
    for piece in _unpacked(response, url, most + 1):
        data += piece
        if len(data) > most:
            raise _too_long(url, limits)
        if time.monotonic() > deadline:
            raise _failed(url, f"it takes more than {_SECONDS:.0f} seconds")
    return bytes(data)


def _unpacked(response: httpx.Response, url: httpx.URL, most: int) -> Iterator[bytes]:
    """The bytes that were sent; packed ones are unpacked piece by piece, so that no bomb goes off."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip", ""):
        raise _failed(url, f"it is packed by {shown(coding)}, which was not asked for")
    packer = zlib.decompressobj(31) if "gzip" in coding else None
    for piece in response.iter_raw(_PIECE):
        if packer is None:
            yield piece
            continue
        try:
            yield packer.decompress(piece, most)
        except zlib.error as error:
            raise _failed(url, "it is packed wrongly") from error


def _in_unicode(data: bytes, charset: str) -> bytes:
    """The bytes of a text whose alphabet the server tells, as UTF-8 with its mark; others as they are."""
    try:
        if not charset or codecs.lookup(charset).name == "utf-8" or data.startswith(codecs.BOM_UTF8):
            return data
        return codecs.BOM_UTF8 + data.decode(charset).encode("utf-8")
    except (LookupError, UnicodeError):
        return data


def _too_long(url: httpx.URL, limits: Limits) -> LimitExceeded:
    return LimitExceeded(
        f"{shown(str(url))} is larger than {limits.file_mb:,} MB (limits.file_mb).",
        hint="Save a part of it, or raise limits.file_mb.",
    )


def _failed(url: httpx.URL, reason: str) -> DocumentError:
    return DocumentError(f"{shown(str(url))} cannot be fetched: {reason.rstrip('.')}.", hint="Check it in a browser.")
