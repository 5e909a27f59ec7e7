"""The sentence splitter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.language.sentences import sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith paid $3.5 million. He left.", ["Dr. Smith paid $3.5 million.", "He left."]),
        ("In the U.S. it rose 1.5 %. See fig. 3.", ["In the U.S. it rose 1.5 %.", "See fig. 3."]),
        ("It is so.[1] And this. [2] [3] Last [1].", ["It is so.[1]", "And this. [2] [3]", "Last [1]."]),
        ('She said "No." Then she left.', ['She said "No."', "Then she left."]),
        ("# A title\nSome text. More.", ["# A title", "Some text.", "More."]),
        ("- one. Two\n- three\n  goes on", ["- one.", "Two", "- three\n  goes on"]),
        ("1. First thing.\n2. Second.", ["1. First thing.", "2. Second."]),
        ("| a | b. C |\n|---|---|\n| 1 | 2 |", ["| a | b. C |", "|---|---|", "| 1 | 2 |"]),
        ("Before.\n```\nx = 1. Y\n\nz\n```\nAfter.", ["Before.", "```\nx = 1. Y\n\nz\n```", "After."]),
        ("A line that was\nwrapped here. Next.", ["A line that was\nwrapped here.", "Next."]),
        ("他来了。他走了！真的？", ["他来了。", "他走了！", "真的？"]),
        ("هل هذا جيد؟ نعم، هذا جيد. شكرا.", ["هل هذا جيد؟", "نعم، هذا جيد.", "شكرا."]),
        ("Am 3. Oktober 2020 kam Dr. Müller nicht und das ist die Regel. Er ging.",
         ["Am 3. Oktober 2020 kam Dr. Müller nicht und das ist die Regel.", "Er ging."]),
        ("Am 3. Oktober 1990 war es so. Ende.", ["Am 3. Oktober 1990 war es so.", "Ende."]),
        ("**Bold.** Next. *It is [1].* [2] Last.", ["**Bold.**", "Next.", "*It is [1].* [2]", "Last."]),
        ("It cost 5.5 bn. in 2004. So.", ["It cost 5.5 bn. in 2004.", "So."]),
        ("Это второе, т. е. важное. См. рис. 5. Да.", ["Это второе, т. е. важное.", "См. рис. 5.", "Да."]),
        ("We like .NET. Use Node.js.", ["We like .NET.", "Use Node.js."]),
        ("I. First.\nII. Second.", ["I. First.", "II. Second."]),
        ("「三文。」と言った。次。", ["「三文。」と言った。", "次。"]),
        ("Costs\n=====\nIt is so.\n\n---\nMore.", ["Costs", "=====", "It is so.", "---", "More."]),
        ("यह एक है। वह दो है।", ["यह एक है।", "वह दो है।"]),
        ("Visit example.com. Version 3.5.2 is out.", ["Visit example.com.", "Version 3.5.2 is out."]),
        ("Products $ 63,355 $ 72,075\nServices 19,604 17,486",
         ["Products $ 63,355 $ 72,075", "Services 19,604 17,486"]),
        ("Results of Operations\nNet sales grew in the quarter, which ended in June, by a wide margin.",
         ["Results of Operations", "Net sales grew in the quarter, which ended in June, by a wide margin."]),
    ],
)  # fmt: skip
def test_table(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                ["A b. ", "c", "\n", "\n\n", "[1]", " [2, 3]", "# ", "- ", "1. ", "|", "```", "~~~", ".", "?", '"', ")",
                 "。", "م؟", " ", "\t", "$ 1,000 2,000 ", "Dr. ", "x" * 90, "😀", "\r\n", "\u2028",
                 "**", " .", "т. ", "рис. ", "3. Oktober ", "」と", "---\n", "5 bn. in ", "[ ] ", "II. "]
            )
        ).map("".join),
    )
)  # fmt: skip
def test_spans_are_ordered_trimmed_and_cover_everything(text: str) -> None:
    spans = sentences(text)
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())
    last = 0
    for start, end in spans:
        assert last <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        last = end


def test_a_text_without_stops_is_cut_in_bounded_pieces() -> None:
    spans = sentences("word " * 20_000)
    assert max(end - start for start, end in spans) <= 8_000
    assert len(sentences("Short one. " * 5_000)) == 5_000


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        " ",
        "\n",
        ". ",
        "1. ",
        "| ",
        "|\n",
        "#",
        "# \n",
        "```\n",
        "~",
        "-",
        "\0",
        "\u202e",
        "水",
        "[1] ",
        "\t",
        "\"' ",
        "1,",
    ],
)
def test_a_long_text_is_split_in_one_pass(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    spans = sentences(text)
    assert sum(end - start for start, end in spans) <= len(text)
