"""HTML: what a reader sees, a block a line, with headings at exact offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.config import Limits
from rag.documents.readers.html import parse
from rag.errors import DamagedDocument, EmptyDocument

LIMITS = Limits()


def text_of(markup: str) -> str:
    return parse(markup.encode(), "a.html", LIMITS).text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One  two\n three<br>four <b>bo</b>ld.</p><p>Five", "One two three\nfour bold.\n\nFive"),
        ("<span>a</span><span>b</span> <i>c</i>", "ab c"),
        ("<ul><li>one<li>two<ul><li>in</ul><li></ul>", "- one\n- two\n\n  - in"),
        ("<ol start=3><li>one<li value=9>two<li>three</ol>", "3. one\n9. two\n10. three"),
        ("<ol type=a><li>one</ol><ol reversed><li>two</ol>", "- one\n\n- two"),
        ("<table><caption>C</caption><tr><th></th><th>22</th><th>23<tr><td>Net <b>sales</b><td><td>5</table>",
         "C\n|  | 22 | 23 |\n| --- | --- | --- |\n| Net sales |  | 5 |"),
        ("<table><tr><td><p>a</p><p>b</p></td><td>c</table>", "a b | c"),
        ("<table><tr><td>menu<td><h2>Head</h2><p>x<p>y</table>", "menu\n\nHead\n\nx\n\ny"),
        ("<table><tr><td>a<table><tr><td>1<td>2</table><td>b</table>", "a\n\n1 | 2\n\nb"),
        ("<pre>  keep\n    this &lt;b&gt;</pre><p>not   this", "  keep\n    this <b>\n\nnot this"),
        ("a&nbsp;b &amp; &lt;c&gt; &eacute; &#x1F600;", "a\xa0b & <c> é 😀"),
        ("x&#13;&#0;&#xFFFE;&#7;y", "x \ufffdy"),
        ("<p>a<!-- c --></p><script>s()</script><style>t</style><noscript>n</noscript><template>t</template>b",
         "a\n\nb"),
        ("<nav>menu</nav><div role=navigation>m</div><div hidden>h</div><p style='display: none'>d</p>"
         "<p aria-hidden=true>e</p><p>seen", "seen"),
        ("<div>a</div><div>b</div><section>c</section>", "a\nb\n\nc"),
        ("<dl><dt>t<dd>d</dl><hr>after", "t\nd\n\nafter"),
    ],
)  # fmt: skip
def test_visible_text(markup: str, text: str) -> None:
    assert text_of(markup) == text


def test_headings_have_their_offsets() -> None:
    markup = "<title> The\n title </title><h1>Big <em>one</em></h1><p>x</p><h3></h3><ul><li><h2>In\nlist</h2></ul>"
    document = parse(markup.encode(), "a.html", LIMITS)
    assert document.title == "The title"
    assert [(h.level, h.title) for h in document.headings] == [(1, "Big one"), (2, "In list")]
    assert [document.text[h.start : h.start + len(h.title)] for h in document.headings] == ["Big one", "In list"]


@pytest.mark.parametrize(
    ("markup", "title"),
    [("<h2>b</h2><h1>a</h1>", "a"), ("<p>First line</p>", "First line"), (f"<p>{'x ' * 100}", "page"),
     ("<title></title><h1>h", "h"), ("<svg><title>icon</title></svg><p>Text", "Text")],
)  # fmt: skip
def test_title(markup: str, title: str) -> None:
    assert parse(markup.encode(), "dir/page.html", LIMITS).title == title


def test_declared_encodings() -> None:
    assert parse('<meta charset="koi8-r"><p>Привет'.encode("koi8-r"), "a.html", LIMITS).text == "Привет"
    assert (
        parse('<?xml version="1.0" encoding="iso-8859-7"?><p>Ωμέγα</p>'.encode("iso8859-7"), "a.xhtml", LIMITS).text
        == "Ωμέγα"
    )
    assert parse("<meta charset=iso-8859-1><p>„Größe“".encode("cp1252"), "a.html", LIMITS).text == "„Größe“"
    assert parse("<p>Größe".encode("utf-16"), "a.html", LIMITS).text == "Größe"


def test_xhtml_elements_that_close_themselves() -> None:
    markup = (
        b'<?xml version="1.0"?><html><head><title/><script src="a"/></head><body><p>hi<a id="x"/> you<br/>there</p>'
    )
    assert parse(markup, "a.xhtml", LIMITS).text == "hi you\nthere"


def test_deep_nesting_needs_no_recursion() -> None:
    document = parse(b"<div>" * 10_000 + b"deep" + b"</div>" * 10_000 + b"<p>after", "a.html", LIMITS)
    assert document.text == "deep\n\nafter"


def test_nothing_visible_is_empty() -> None:
    with pytest.raises(EmptyDocument):
        parse(b"<title>only</title><script>x</script><p> </p>", "a.html", LIMITS)
    with pytest.raises(DamagedDocument, match="binary"):
        parse(b"<p>\0\1\2\3", "a.html", LIMITS)


tags = st.sampled_from("p div h1 h2 ul li table tr td pre b br span section nav".split())
pieces = st.one_of(
    tags.map(lambda tag: f"<{tag}>"),
    tags.map(lambda tag: f"</{tag}>"),
    st.sampled_from([" ", "\n", "word", "é😀", "&amp;"]),
)


@given(st.lists(pieces, max_size=60))
def test_any_tag_soup_gives_text_with_true_headings(soup: list[str]) -> None:
    document = parse(("<p>start</p>" + "".join(soup)).encode(), "a.html", LIMITS)
    assert document.text.startswith("start") and "\0" not in document.text
    starts = [heading.start for heading in document.headings]
    assert starts == sorted(starts)
    for heading in document.headings:
        assert document.text[heading.start :].lstrip("- |").split()[0] == heading.title.lstrip("- |").split()[0]
