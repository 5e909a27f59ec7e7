"""Promise: decoding is honest. No binary becomes text, and no text becomes mojibake."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents import ParserPool
from rag.documents.decode import CODECS, canonical, decode
from rag.errors import DamagedDocument

TABLE = {
    "L'été dernier, nous avons déjà mangé à la crêperie ; ça coûtait 12 F par personne.": (
        "cp1252", "latin-1", "iso8859-15", "mac_roman", "cp850"),
    "Prix : 12 € pour l'élève, œuvre comprise.": ("cp1252", "iso8859-15"),
    "Café crème": ("latin-1", "cp1252", "mac_roman", "cp850"),
    "Die Größe der Straße überrascht die Gäste; schöne Grüße aus München.": ("latin-1", "mac_roman", "cp850"),
    "El niño comió una piña mañana, ¿verdad? ¡Qué ilusión!": ("latin-1",),
    "Räksmörgås på ön är gott för själen, sa Åke.": ("latin-1",),
    "A organização não é responsável pela situação econômica do país.": ("latin-1",),
    "Perché no? È così, però la città è più bella di lunedì.": ("cp1252", "mac_roman", "cp850"),
    "Blåbærsyltetøy på brødskiva er godt på morgenen.": ("cp1252", "mac_roman", "cp850"),
    "He said “no” — it’s over… and left for £5 or ¥700, 20°C ± 2, © Acme®": ("cp1252",),
    "Zoë, Ångström, Señor, Müller and Bjørn met in São Paulo at a café.": ("cp1252",),
    "Zażółć gęślą jaźń. Dziękuję bardzo za wszystko, co zrobiliście dla Łodzi.": ("cp1250", "iso8859-2"),
    "Příliš žluťoučký kůň úpěl ďábelské ódy a běžel přes pole.": ("cp1250", "iso8859-2"),
    "Árvíztűrő tükörfúrógép, és még több őszinte szó.": ("cp1250", "iso8859-2"),
    "Işık hızıyla giden ağaç gövdesi, şöyle böyle çığlık attı.": ("cp1254",),
    "Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą.": ("cp1257",),
    "Съешь же ещё этих мягких французских булок, да выпей чаю.": ("cp1251", "koi8-r", "cp866"),
    "Привет, мир! Как дела?": ("cp1251", "koi8-r", "cp866"),
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.": ("cp1253", "iso8859-7"),
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה.": ("cp1255",),
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر": ("cp1256",),
    "ภาษาไทยเป็นภาษาราชการของประเทศไทย มีผู้พูดมากกว่าหกสิบล้านคน": ("cp874",),
    "これは日本語の文章です。東京は日本の首都であり、人口は約千四百万人です。": ("shift_jis", "euc_jp"),
    "这是一个中文句子。北京是中国的首都，人口超过两千万。": ("gb18030", "gbk"),
    "這是一個中文句子。臺北是臺灣的首都，人口超過兩百萬。": ("big5",),
    "이것은 한국어 문장입니다. 서울은 대한민국의 수도입니다.": ("euc_kr",),
}  # fmt: skip
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize("repeat", [1, 30, 1_500])
@pytest.mark.parametrize("text", TABLE, ids=lambda text: text[:12])
def test_no_mojibake(text: str, repeat: int) -> None:
    wanted = f"{text}\n" * repeat
    for encoding in (*TABLE[text], *UNICODE):
        assert decode(wanted.encode(encoding), "a.txt") == wanted, encoding


def test_no_mojibake_in_a_child_that_can_open_no_file(pool: ParserPool) -> None:
    cases = [(text, encoding) for text, encodings in TABLE.items() for encoding in (*encodings, *UNICODE)]
    futures = [pool.submit(f"{text}\n{text}".encode(encoding), f"{encoding}.txt") for text, encoding in cases]
    for (text, encoding), future in zip(cases, futures, strict=True):
        assert future.result().document.text == f"{text}\n{text}", encoding


@pytest.mark.parametrize("bom", [b"\xff\xfe", b"\xfe\xff"])
def test_utf16_with_mark_and_odd_length(bom: bytes) -> None:
    encoding = "utf-16-le" if bom == b"\xff\xfe" else "utf-16-be"
    assert decode(bom + "Grüße, 日本".encode(encoding) + b"\x41", "a.txt").startswith("Grüße, 日本")


def test_declared_encoding_decides_only_where_utf8_fails() -> None:
    assert decode("Ωμέγα".encode("iso8859-7"), "a.html", "ISO-8859-7") == "Ωμέγα"
    assert decode("naïve Ω".encode(), "a.html", "iso-8859-1") == "naïve Ω"
    assert decode("Größe".encode("latin-1"), "a.html", "no-such-encoding") == "Größe"


def test_utf8_with_few_faults_stays_utf8() -> None:
    text = "Größe, naïve, señor, déjà vu, Łódź. " * 5
    assert decode(text.encode()[:-2].rstrip(b".") + b"\xc5", "a.txt") == text[:-2].rstrip(".")
    assert decode(text.encode() + b"\xe9 end", "a.txt") == f"{text}\ufffd end"


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01\x01" + bytes(100),
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"GIF89a\x01\x00\x01\x00",
        b"PK\x03\x04" + bytes(range(200)),
        b"x\x01K\xca\xc9OR0c\x00\t\x91\x01\xdb",
        b"text then\0a NUL, and more text after it",
        bytes(1_000),
        b"%PDF-1.4\n1 0 obj<<>>endobj",
        b"\xff\xfe" + bytes(50),
        bytes(range(1, 32)) * 4,
    ],
    ids=lambda data: repr(data[:8]),
)
def test_binary_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DamagedDocument, match=r"x\.txt is binary, not text") as caught:
        decode(data, "x.txt")
    assert caught.value.hint


def test_random_bytes_are_no_text() -> None:
    rng = random.Random(11)
    for size in (200, 1_000, 20_000):
        for _ in range(50):
            data = rng.randbytes(size)
            for candidate in (data, bytes(byte | 0x80 for byte in data)):
                with pytest.raises(DamagedDocument):
                    decode(candidate, "x.txt")


def test_what_no_encoding_makes_text_of_says_so() -> None:
    rng = random.Random(2)
    with pytest.raises(DamagedDocument, match="not UTF-8") as caught:
        decode(bytes(rng.randrange(0x80, 0x100) for _ in range(500)), "x.txt")
    assert "UTF-8" in caught.value.hint


def test_canonical_text() -> None:
    assert (
        canonical("\ufeffa\r\nb\rc\fd\ve\x85f\0\x07\ud800\ufffe\x1b[31mred\x1b[0m\x1b]0;t\x07") == "a\nb\nc\nd\ne\nfred"
    )
    assert canonical("e\u0301 \u00e9 \u2028\u00a0\t") == "e\u0301 \u00e9 \u2028\u00a0\t"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), min_size=1))
def test_utf8_round_trip(text: str) -> None:
    if not set(text) & {"\ufffe", "\uffff"}:
        assert decode(text.encode(), "a.txt") == text


@given(st.binary(max_size=400))
def test_decoding_ends_in_text_or_a_refusal(data: bytes) -> None:
    try:
        text = decode(data, "a.txt")
    except DamagedDocument:
        return
    assert text.encode() is not None and "\0" not in text and "\r" not in text


def test_every_codec_exists() -> None:
    assert all("".encode(name) is not None for name in CODECS)


@pytest.mark.parametrize("data", [b"hello\0world\0this is text\0" * 50, b"ab\0cd\0" * 100, b"name\0value\0" * 9])
def test_words_parted_by_nuls_are_no_wide_text(data: bytes) -> None:
    with pytest.raises(DamagedDocument, match="binary"):
        decode(data, "list.txt")
    wide = "これは 日本語 の\u3000文章です。一つ。\n" * 20
    assert decode(wide.encode("utf-16-le"), "a.txt") == decode(wide.encode("utf-16-be"), "a.txt") == wide
