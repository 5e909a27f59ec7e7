"""An address that was typed: one bounded request, never into the own network, also not by name or redirection."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag import Library
from rag.config import Limits
from rag.documents.address import fetch
from rag.errors import DocumentError, LimitExceeded, UnsupportedFormat
from tests.documents.material import PANGRAM, pdf
from tests.documents.web import ARTICLE, Site, web_site


@pytest.fixture
def site() -> Iterator[Site]:
    with web_site() as made:
        yield made


def resolving(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], list[str]]) -> list[str]:
    """Names resolved as ``answer`` says; those that were asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def fake(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name == "127.0.0.1":
            return real(host, port, *more, **options)
        numeric = (name.replace(".", "").isdigit() and name.count(".") == 3) or ":" in name
        asked.extend([] if numeric else [name])
        found = [name] if numeric else answer(name)
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, 1, 6, "", (a, port)) for a in found]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return asked


@pytest.mark.parametrize(
    "inner",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
     "2002:7f00:1::1", "ff02::1"],
)  # fmt: skip
def test_no_address_of_the_own_network_is_asked(monkeypatch: pytest.MonkeyPatch, inner: str) -> None:
    connected: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *_, **__: connected.append(address))
    resolving(monkeypatch, lambda name: ["93.184.215.14", inner])
    for address in ("https://harmless.example/page", f"http://[{inner}]/" if ":" in inner else f"http://{inner}/"):
        with pytest.raises(DocumentError, match="own network") as caught:
            fetch(address, Limits())
        assert "--private" in caught.value.hint
    assert connected == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::1]"])
def test_no_spelling_of_loopback_is_asked(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    resolving(monkeypatch, lambda name: ["127.0.0.1"])  # as the system's resolver does with each of them
    with pytest.raises(DocumentError, match=r"own network|not known|no address"):
        fetch(f"http://{host}:9/", Limits())


def test_a_name_that_changes_its_address_is_asked_only_at_the_one_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    port = site.server.server_port
    turns = iter([["93.184.215.14"], ["127.0.0.1"], ["127.0.0.1"]])
    asked = resolving(monkeypatch, lambda name: next(turns))
    connected: list[Any] = []

    def refuse(address: Any, *_: Any, **__: Any) -> Any:
        connected.append(address)
        raise ConnectionRefusedError("refused here")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(DocumentError, match=r"rebinds\.example.* cannot be fetched"):
        fetch(f"http://rebinds.example:{port}/", Limits())
    assert asked == ["rebinds.example"] and connected == [("93.184.215.14", port)] and site.asked == []


def test_a_redirection_is_looked_at_like_an_address(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    port = site.server.server_port
    resolving(monkeypatch, lambda name: ["127.0.0.1"])
    inner = "http://127.0.0.1:9/secret"
    site.give("/out", "", status=302, Location=inner)
    from rag.documents import address as room

    monkeypatch.setattr(room, "_is_public", lambda number, seen=[]: seen.append(number) or len(seen) == 1)
    with pytest.raises(DocumentError, match="own network"):
        fetch(f"http://open.example:{port}/out", Limits())
    assert site.asked == [(f"open.example:{port}", "/out")]


def test_a_page_is_fetched_with_its_kind_name_and_day(site: Site) -> None:
    page = fetch(site.give("/ferries/", ARTICLE, "text/html; charset=utf-8"), Limits(), private=True)
    assert (page.file, page.data.decode()) == ("ferries.html", ARTICLE)
    assert page.name == "127.0.0.1/ferries" and page.place == f"{site.address}/ferries/, fetched {page.day}"
    western = site.give("/a?b=c", "Grüße".encode("latin-1"), "text/plain; charset=iso-8859-1")
    page = fetch(western, Limits(), private=True)
    assert page.data.decode("utf-8-sig") == "Grüße" and page.file == "a.txt" and page.name == "127.0.0.1/a?b=c"
    page = fetch(site.give("/r.pdf", pdf([PANGRAM]), "application/octet-stream"), Limits(), private=True)
    assert page.file == "r.pdf"
    page = fetch(site.give("/z", gzip.compress(ARTICLE.encode()), Content_Encoding="gzip"), Limits(), private=True)
    assert page.data.decode() == ARTICLE
    site.give("/old", "", status=301, Location="/ferries/")
    page = fetch(site.address + "/old", Limits(), private=True)
    assert page.data.decode() == ARTICLE and page.address == site.address + "/old"


def test_what_is_too_long_of_another_kind_or_goes_round_is_refused(site: Site) -> None:
    limits = Limits(file_mb=1)
    big = b"x" * (2**20 + 1)
    for address in (
        site.give("/big", big, "text/plain"),
        site.give("/bomb", gzip.compress(big * 50), "text/plain", Content_Encoding="gzip"),
        site.give("/lies", b"x", "text/plain", Content_Length=str(2**40)),
    ):
        with pytest.raises(LimitExceeded, match=r"limits\.file_mb"):
            fetch(address, limits, private=True)
    with pytest.raises(UnsupportedFormat, match="video/mp4"):
        fetch(site.give("/film", b"x", "video/mp4"), limits, private=True)
    site.give("/round", "", status=302, Location="/round")
    with pytest.raises(DocumentError, match="more than 5 times"):
        fetch(site.address + "/round", limits, private=True)
    assert len([path for _, path in site.asked if path == "/round"]) == 6
    with pytest.raises(DocumentError, match="answered 404"):
        fetch(site.address + "/none", limits, private=True)
    with pytest.raises(DocumentError, match="packed by br"):
        fetch(site.give("/br", b"x", Content_Encoding="br"), limits, private=True)
    for address in ("ftp://a.example/", "http://", "http://user:word@a.example/", "file:///etc/passwd"):
        with pytest.raises(DocumentError):
            fetch(address, limits, private=True)


def test_a_page_is_a_document_that_is_cited_by_address_and_day(site: Site, tmp_path: Path) -> None:
    address = site.give("/ferries", ARTICLE)
    with Library.open(tmp_path / "library", llm="quotes", encoder="off") as library:
        report = library.ingest_address(address, private=True)
        assert [(event.source, event.status) for event in report.events] == [("127.0.0.1/ferries", "added")]
        answer = library.ask("When does the last ferry leave?")
        assert "23:00" in answer.text and answer.citations[0].place.startswith(f"{address}, fetched 20")
        assert library.sources()[0].origin == address
        assert library.ingest_address(address, private=True).events[0].status == "unchanged"
        site.give("/ferries", ARTICLE.replace("23:00", "22:15"))
        assert library.ingest_address(address, private=True).events[0].status == "updated"
        assert "22:15" in library.ask("When does the last ferry leave?").text and len(library.sources()) == 1
        refused = library.ingest_address(address).events[0]
        assert refused.status == "failed" and "own network" in refused.error
