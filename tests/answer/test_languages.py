"""What a change of one word does to verdicts and disagreements, in each language: told where there is data for it,
and said to be unchecked where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rag.answer.compose import quoted_answer
from rag.answer.conflicts import disagreements
from rag.answer.quoting import Quote
from rag.answer.verify import Gates, Reader, Verdict, Verifier, gates
from rag.commands.terminal import answer_text
from rag.language import CHECKED
from rag.language.polarity import opposites
from rag.models.static import static_vectors
from rag.types import Answer, Support
from tests.answer.passages import hits, passage

VERIFIER = Verifier(static_vectors())
READER = Reader(static_vectors())
# A subject, so that both sides of a pair are said of it: in each language words that no pair has.
FRAMES = {
    "en": "The report of the Norvik mill is about {}.",
    "de": "Und der Bericht der Mühle in Norvik ist wieder {}.",
    "fr": "Le rapport du moulin de Norvik est dit {}.",
    "es": "Para los obreros, el informe del molino de Norvik es muy {}.",
    "pt": "O relatório do moinho de Norvik é o {}.",
    "it": "Il rapporto del mulino di Norvik è detto {}.",
}


def verdict(claim: str, source: str) -> Verdict:
    return VERIFIER.check(claim, [passage(source)])


def held(claim: str, source: str) -> Gates:
    said = READER.claim(claim)
    return gates(said, READER.windows(said, READER.source(source))[0], source)


def rows() -> Iterator[tuple[str, int]]:
    for language in CHECKED:
        for number in range(len(opposites(language))):
            yield language, number


def test_the_gate_refuses_each_pair_of_opposites_and_disagreement_tells_it() -> None:
    refused, told = [], []
    for language, number in rows():
        left, right = (side[0].replace(" ~", "") for side in opposites(language)[number])
        one, other = FRAMES[language].format(left), FRAMES[language].format(right)
        if held(one, other).opposite or held(other, one).opposite:
            refused.append((language, left, right))
        found = hits({"a.md": one, "b.md": other})
        answer = quoted_answer("q", [Quote(found[0].passage, 0, len(one), 1.0)], found)
        if not disagreements(answer.sentences, answer.citations, found):
            told.append((language, left, right))
    assert (refused, told) == ([], [])


# Pairs of which one check knew one and the other another, or none.
PAIRS = [
    ("The training is mandatory for all staff.", "The training is optional for all staff."),
    ("The new drug is effective against malaria.", "The new drug is ineffective against malaria."),
    ("The Norvik mill is profitable this year.", "The Norvik mill is unprofitable this year."),
    ("The signature on the deed is genuine.", "The signature on the deed is forged."),
    ("The figures in the report are correct.", "The figures in the report are incorrect."),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_opposites_never_support_each_other(one: str, other: str) -> None:
    assert verdict(one, other).support is Support.UNSUPPORTED
    assert verdict(other, one).support is Support.UNSUPPORTED


NUMBERS = [
    ("The school has two hundred and fifty pupils.", "The school has 250 pupils."),
    ("Half a million people live there.", "500,000 people live there."),
    ("It opened on 3 March 1987.", "It opened on 1987-03-03."),
    ("The council approved two hundred and fifty new flats.", "The council approved 250 new flats."),
    ("The fund holds half a million euros for repairs.", "The fund holds 500,000 euros for repairs."),
    (
        "The archive holds 1.250.000 photographs of the harbour.",
        "The archive holds 1,250,000 photographs of the harbour.",
    ),
    ("The bridge was opened on 3 March 1987 by the mayor.", "The bridge was opened on March 3rd, 1987 by the mayor."),
    ("The bridge was opened on 1987-03-03 by the mayor.", "The bridge was opened on 3 March 1987 by the mayor."),
    (
        "Der Rat der Stadt genehmigte zweihundertfünfzig neue Wohnungen für die Familien.",
        "Der Rat der Stadt genehmigte 250 neue Wohnungen für die Familien.",
    ),
    ("Das Archiv bewahrt 1.250.000 Fotos vom Hafen auf.", "Das Archiv bewahrt 1,25 Millionen Fotos vom Hafen auf."),
    (
        "Le conseil de la ville a approuvé deux cent cinquante logements pour les familles.",
        "Le conseil de la ville a approuvé 250 logements pour les familles.",
    ),
    (
        "El consejo de la ciudad aprobó doscientos cincuenta pisos nuevos para los estudiantes.",
        "El consejo de la ciudad aprobó 250 pisos nuevos para los estudiantes.",
    ),
]


@pytest.mark.parametrize(("one", "other"), NUMBERS)
def test_one_number_in_two_forms_supports(one: str, other: str) -> None:
    assert verdict(one, other).holds and verdict(other, one).holds


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The school has one hundred and twenty pupils.", "The school has 20 pupils."),
        ("The council approved two hundred and fifty new flats.", "The council approved 200 new flats."),
        ("The bridge was opened on 3 March 1987 by the mayor.", "The bridge was opened on 1987-03-04 by the mayor."),
        ("Der Rat genehmigte zweihundertfünfzig neue Wohnungen.", "Der Rat genehmigte 240 neue Wohnungen."),
    ],
)
def test_other_numbers_do_not(one: str, other: str) -> None:
    assert verdict(one, other).support is Support.UNSUPPORTED
    assert verdict(other, one).support is Support.UNSUPPORTED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The international market for grain grew by 3 %.", "The internal market for grain grew by 3 %."),
        ("The general director of the mill spoke.", "The generous director of the mill spoke."),
        ("The university library of Bergen is open.", "The universal library of Bergen is open."),
    ],
)
def test_words_that_only_look_alike_are_no_strict_support(one: str, other: str) -> None:
    assert not verdict(one, other).strict and not verdict(other, one).strict


# A source, and what its language's sentence says without its "not" or with the opposite.
TURNED = [
    ("Der Rat hat den Bau der Brücke nicht genehmigt.", "Der Rat hat den Bau der Brücke genehmigt."),
    ("Der Rat genehmigte den Bau der Brücke nicht.", "Der Rat genehmigte den Bau der Brücke."),
    ("Die Preise für Fisch sind im Hafen gesunken.", "Die Preise für Fisch sind im Hafen gestiegen."),
    ("Le conseil n'a pas approuvé la construction du pont.", "Le conseil a approuvé la construction du pont."),
    ("Les prix du poisson ont baissé dans le port.", "Les prix du poisson ont augmenté dans le port."),
    ("El consejo no aprobó la construcción del puente.", "El consejo aprobó la construcción del puente."),
    ("Los precios del pescado bajaron en el puerto.", "Los precios del pescado subieron en el puerto."),
    ("A câmara não aprovou a construção da ponte.", "A câmara aprovou a construção da ponte."),
    ("Os preços do peixe caíram no porto da cidade.", "Os preços do peixe subiram no porto da cidade."),
    ("Il consiglio non ha approvato la costruzione del ponte.", "Il consiglio ha approvato la costruzione del ponte."),
    ("I prezzi del pesce sono scesi nel porto.", "I prezzi del pesce sono saliti nel porto."),
    ("The council did not approve the new harbour plan.", "The council approved the new harbour plan."),
]  # fmt: skip


@pytest.mark.parametrize(("source", "turned"), TURNED)
def test_a_lost_negation_or_an_opposite_is_not_supported(source: str, turned: str) -> None:
    assert verdict(turned, source).support is Support.UNSUPPORTED
    assert verdict(source, turned).support is Support.UNSUPPORTED
    assert verdict(source, source).support is Support.QUOTED
    assert not verdict(turned, source).unchecked


@pytest.mark.parametrize(
    ("source", "claim"),
    [
        ("Совет не утвердил новый план гавани в Бергене.", "Совет утвердил новый план гавани в Бергене."),
        ("De raad heeft het nieuwe plan voor de haven niet goedgekeurd.",
         "De raad heeft het nieuwe plan voor de haven goedgekeurd."),
        ("市议会没有批准卑尔根港口的新计划。", "市议会批准了卑尔根港口的新计划。"),
    ],
)  # fmt: skip
def test_a_language_without_data_is_never_supported_by_a_check_that_was_not_made(source: str, claim: str) -> None:
    found = verdict(claim, source)
    assert "negation" in found.unchecked and not found.holds and not found.strict
    assert verdict(source, source).support is Support.QUOTED


def test_two_languages_are_not_held_against_each_other_unsaid() -> None:
    found = verdict(
        "The council approved the new plan of the harbour.", "Der Rat hat den neuen Plan des Hafens nicht genehmigt."
    )
    assert not found.holds


def test_an_answer_says_what_was_not_checked() -> None:
    source = "De raad heeft het nieuwe plan voor de haven niet goedgekeurd."
    done = VERIFIER.verify("De raad heeft het nieuwe plan voor de haven goedgekeurd [1].", hits({"a.md": source}))
    (found,) = done.sentences
    assert "negation" in found.unchecked and found.support is Support.PARTIAL
    answer = Answer("?", done.text, abstained=False, sentences=done.sentences, citations=done.citations)
    told = "Note: Not checked in this language: forms of words, numbers in words, negations, opposites."
    assert told in answer_text(answer) and "Not checked" not in answer_text(replace(answer, sentences=()))
