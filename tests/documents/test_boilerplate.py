"""Pages as the web builds them: what they say is read, what surrounds it is not. ``+`` is content, ``-`` is not."""

# ruff: noqa: E501 - pages as they are written

from __future__ import annotations

import re

import pytest

from rag.config import Limits
from rag.documents.readers.html import parse

STORY = (
    "<p>+The council approved the new tram line on Monday after a debate of four hours.</p>"
    "<p>+It will cost 340 million and open in 2031, two years later than planned.</p>"
    "<p>+Residents of the northern district had asked for it since 1998, and collected 12,000 signatures.</p>"
)
LINKS = "".join(
    f'<li><a href="/{n}">-{word} section</a></li>' for n, word in enumerate("News Sport Money Travel".split())
)

PAGES = {
    "a blog of WordPress": f"""<body class="home blog"><div id="page" class="site"><a class="skip-link
      screen-reader-text" href="#content">-Skip to content</a><header id="masthead" class="site-header"><div
      class="site-branding"><p class="site-title">-Tram lovers</p></div><nav><ul>{LINKS}</ul></nav></header>
      <div id="content"><div id="primary"><main id="main"><article class="post"><header class="entry-header">
      <h1>+Tram line approved</h1><div class="entry-meta">Posted on 3 May by Ann</div></header><div
      class="entry-content">{STORY}<div class="sharedaddy sd-sharing"><h3>-Share this:</h3><ul><li><a
      href="#">-Twitter</a></li></ul></div></div></article><div id="comments"><h2>Comments</h2><p>+The old plan was
      better, says Bob.</p></div></main></div><aside id="secondary" class="widget-area"><section class="widget"><h2>-Recent
      posts</h2><ul>{LINKS}</ul></section></aside></div><footer class="site-footer"><div class="site-info">-Proudly powered
      by a press</div></footer></div></body>""",
    "news in nothing but div": f"""<body><div class="c-header"><div class="c-header__logo">-The Daily</div><div
      class="c-nav"><ul>{LINKS}</ul></div></div><div class="l-container"><div class="l-main"><div class="headline"><h1>+Tram
      line approved</h1></div><div class="story-body">{STORY}</div></div><div class="l-sidebar"><div
      class="most-read"><h3>-Most read</h3><ol>{LINKS}</ol></div></div></div><div class="c-footer"><p>-Copyright The Daily.
      All rights reserved. <a href="/t">-Terms</a> <a href="/p">-Privacy</a></p></div></body>""",
    "a wall for consent": f"""<body><div id="onetrust-consent-sdk"><div role="dialog" aria-label="Privacy"><h2>-We value
      your privacy</h2><p>-We and our 812 partners store information on a device.</p><button>-Accept</button></div></div>
      <main>{STORY}</main><div class="CybotCookiebotDialog"><p>-This site uses cookies to personalise ads.</p></div></body>""",
    "documentation": f"""<body><div class="wy-grid-for-nav"><nav class="wy-nav-side"><ul>{LINKS}</ul></nav><section
      class="wy-nav-content-wrap"><div class="rst-content"><div role="navigation"><ul
      class="wy-breadcrumbs"><li>-Home</li></ul></div><div role="main" class="document"><div itemprop="articleBody"><h1>+Tram
      protocol<a class="headerlink" href="#x">-¶</a></h1>{STORY}<pre>+tram.open(line=4)</pre></div></div><footer><div
      class="rst-footer-buttons"><a href="/n">-Next</a></div><p>-Built with a theme provided by others.</p></footer></div>
      </section></div></body>""",
    "a page of 1999": f"""<body><table width="100%"><tr><td bgcolor="#ccc"><a href="/1">-Home</a><br><a
      href="/2">-Guest book</a><br><a href="/3">-Links</a></td><td><h2>+Trams</h2>{STORY}</td></tr></table></body>""",
    "an encyclopaedia": f"""<body><div id="mw-page-base"></div><div id="content" class="mw-body"><h1>+Tram</h1><div
      id="siteSub">From an encyclopaedia</div><div class="mw-parser-output"><table class="infobox"><tr><th>+Opened</th><td>+
      1881</td></tr></table>{STORY}<h2>+History<span class="mw-editsection">[<a href="/e">-edit</a>]</span></h2><p>+Horses
      drew the first ones.</p><div class="navbox"><ul>{LINKS}</ul></div></div></div><div id="mw-navigation"><ul>{LINKS}</ul>
      </div><div id="footer"><ul><li>-This page was last edited on 3 May.</li><li><a href="/x">-About</a></li></ul></div>
      </body>""",
    "a shop": f"""<body><header role="banner"><form><label>-Search the shop</label></form><ul>{LINKS}</ul></header><main>
      <h1>+Model tram</h1><p>+Price: 89.90 EUR, scale 1:87, delivery in 3 days.</p><ul class="features"><li>+Lights that
      work</li><li>+Brass wheels</li></ul></main><div class="newsletter-signup"><h3>-Get 10% off</h3><p>-Sign up for our
      newsletter.</p></div><footer role="contentinfo"><p>-Imprint, returns, terms of trade.</p></footer></body>""",
    "questions and answers": f"""<body><main><h1>+Why do trams ring?</h1><div class="question"><p>+They ring at every stop
      in my town.</p></div><div class="answer"><p>+The bell is a signal required by a law of 1934.</p></div><div
      class="related-questions"><h4>-Related</h4><ul>{LINKS}</ul></div></main></body>""",
}  # fmt: skip


def marked(markup: str) -> tuple[list[str], list[str]]:
    """What is marked as content, and as none of it."""
    found = re.findall(r">\s*([+-])([^<]+)<", markup)
    return tuple([" ".join(text.split()) for sign, text in found if sign == wanted] for wanted in "+-")  # type: ignore[return-value]


def cleaned(markup: str) -> bytes:
    return re.sub(r">(\s*)[+-]", r">\1", markup).encode()


@pytest.mark.parametrize("name", PAGES)
def test_the_content_of_a_page_is_read_and_no_more(name: str) -> None:
    wanted, around = marked(PAGES[name])
    text = " ".join(parse(cleaned(PAGES[name]), "a.html", Limits()).text.split())
    assert [one for one in wanted if one not in text] == []
    assert [one for one in around if one in text] == []
