"""Words that turn a statement round: negations and what acts like one, opposites, quantities."""

from __future__ import annotations

import re

from rag.answer.lexicon import stem

NEGATION = re.compile(
    r"\b(?:not|never|no|none|neither|nor|nobody|nothing|nowhere|cannot|without|hardly|scarcely|\w+n['’]t)\b",
    re.IGNORECASE,
)
# They deny or undo what follows; a text may use one where a sentence about it says "not".
CONTRARY = re.compile(
    r"\b(?:den(?:y|ies|ied|ying)|refus\w+|reject\w*|dismiss\w*|fail(?:s|ed|ing|ure)?|lack(?:s|ed|ing)?|false(?:ly)?"
    r"|untrue|wrong(?:ly)?|errors?|mistak\w+|unable|unlikely|impossible|declin(?:es?|ed) to|stop(?:s|ped)?|prevent\w*"
    r"|prohibit\w*|forb[ai]d\w*|bann?(?:s|ed)?|avoid\w*|instead of|rather than|far from|absence|little|few|past|former"
    r"|lost|loses?|missing|un[a-z]{4,}|in[a-z]{2,}able)\b",
    re.IGNORECASE,
)
# Those that no sentence can add without turning its source round.
DENIAL = re.compile(
    r"\b(?:den(?:y|ies|ied|ying)|refus(?:e|es|ed|ing)|reject(?:s|ed|ing)?|fail(?:s|ed|ing)?|prohibit(?:s|ed|ing)?"
    r"|forb[ai]d(?:s|e|den)?|bann(?:ed|ing)|unable|impossible)\b",
    re.IGNORECASE,
)
CLAUSE_END = re.compile(
    r"[.;:!?,()\n—–]| -+ |\b(?:but|although|though|while|whereas|because|since|which|who|and|or)\b", re.IGNORECASE
)
PARTED = re.compile(r"(\d[.,])\s+(?=\d)")
APPROXIMATE = re.compile(
    r"\b(?:about|around|roughly|nearly|almost|approximately|some|close to|more than|over|under|less than)\s*$",
    re.IGNORECASE,
)
AT_LEAST = re.compile(
    r"\b(?:more than|over|above|at least|exceed(?:s|ed|ing)?|upwards? of|no (?:fewer|less) than|a minimum of)\s*$",
    re.IGNORECASE,
)
AT_MOST = re.compile(
    r"\b(?:less than|fewer than|under|below|at most|up to|no more than|nearly|almost|a maximum of)\s*$", re.IGNORECASE
)

_QUANTITIES = """
all every each always everyone everybody everything entire entirely whole completely fully
only solely exclusively sole
never none nobody nothing
most majority mostly largely mainly
"""
# What is said of a thing: two sources that part here contradict each other.
_PREDICATES = """
increase rise grow climb soar gain jump expand : decrease fall decline drop shrink reduce lose cut plunge
win beat victory : lose defeat
accept agree approve support back endorse : reject refuse oppose deny condemn
allow permit legalise legalize : ban prohibit forbid outlaw
improve better good : worsen deteriorate worse bad
guilty convict : innocent acquit
remember : forget
love like : hate dislike
alive survive : dead die kill
include : exclude
succeed success : fail failure
optimistic : pessimistic
possible : impossible
likely : unlikely
safe : dangerous
true : false
encourage : discourage
appreciate praise : criticise criticize blame condemn
"""
# What may as well tell two things or two events apart.
_DISTINCTIONS = """
begin start open launch : end stop close finish cease
before earlier : after later
first : last second third
higher high more : lower low less fewer
strong : weak
arrive enter : leave depart exit
import : export
buy purchase : sell
lend : borrow
north northern : south southern
east eastern : west western
maximum : minimum
above : below
friend ally : enemy foe
hire appoint : fire dismiss
join : leave quit
cheap : expensive
public : private
old : young new
"""


def _groups(table: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(stem(word) for word in line.split()) for line in table.strip().splitlines())


def _pairs(table: str) -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    sides = (line.split(":") for line in table.strip().splitlines())
    return tuple((frozenset(map(stem, a.split())), frozenset(map(stem, b.split()))) for a, b in sides)


QUANTITIES = _groups(_QUANTITIES)
PREDICATES = _pairs(_PREDICATES)
OPPOSITES = PREDICATES + _pairs(_DISTINCTIONS)
