"""Words for one and the same thing, and for opposite views of it, as statements of different sources are compared."""

from __future__ import annotations

import re
from functools import lru_cache

from rag.answer.lexicon import stem

# Whatever is said with one of a line can be said with the others; the first names the line.
_ONE_THING = """
die killed death deaths dead perish victim fatality fatal drown casualty
cost price fee charge pay paid tariff
employ worker employee employment job staff workforce
open inaugurate reopen inauguration
build construct erect complete construction built finish
found establish create foundation
begin start commence launch
end close cease closure shut
rise increase grow climb
fall drop decline decrease
design architect plan designer
invent inventor
write author written
compose composer
lead director head chair leader run manage
locate situate lie stand based seat location site
long length
tall high height
deep depth
wide width
heavy weigh weight
old age
big large area size
fast speed
born birth
allow permit
need require
include cover
buy purchase acquire
person people life individual inhabitant resident population citizen
visitor guest
pupil student
leave holiday vacation
car vehicle
firm company
army military
support backing
refuge haven sanctuary shelter
know aware known
reach arrive
maximum largest most
minimum least
"""
# They join a thing to its value and say nothing of it.
_LIGHT = """
have own belong consist contain comprise make take get give go come put say tell call name amount total number set
there exist count hold offer provide year figure about roughly nearly almost approximately around some exactly
only just more than over at least up to around see use
"""
# What a source may hold of a thing, against what another holds of it.
_VIEWS = (
    (r"better|improv\w*|on the right track|recover(?:s|ed|ing)?|normali[sz]\w*|warming|thaw\w*|fresh start"
     r"|optimis\w*",
     r"worse|worsen\w*|deteriorat\w*|rifts?|sour(?:s|ed|ing)?|tensions?|tense|pessimis\w*|bad|badly"),
    (r"strong|stronger|strongest|strengthen\w*|winning|w[io]n|victory|victories|wins|gain(?:s|ed|ing)? ground"
     r"|resurgent",
     r"weak|weaker|weakest|weaken\w*|past (?:\w+ ){0,2}(?:peak|best|prime|height)|peaked|los(?:e|es|ing|t)|defeat\w*"
     r"|waning|in decline|crumbling|dwindl\w*"),
    (r"increas\w*|r[io]s(?:e|es|en|ing)|rose|gr[eo]w\w*|climb\w*|soar\w*|gone up|went up|goes up|go(?:ing)? up"
     r"|expand\w*"
     r"|jumped|surg(?:e|ed|es|ing)",
     r"decreas\w*|f[ae]ll(?:s|en|ing)?|declin\w*|dropp?(?:s|ed|ing)?|shr[aiu]nk\w*|shrinking|reduc\w*|gone down"
     r"|went down"
     r"|goes down|go(?:ing)? down|plung\w*|plummet\w*"),
    (r"accept\w*|agree(?:s|d)?|approv\w*|support\w*|back(?:s|ed|ing)|endors\w*|welcom\w*|in favou?r",
     r"reject\w*|refus\w*|oppos(?:e|es|ed|ing|ition)|condemn\w*|voted against|object(?:s|ed)? to|vetoed"),
    (r"allow\w*|permit(?:s|ted)|legali[sz]\w*|legal|lawful", r"bann?(?:s|ed)?|prohibit\w*|forbid\w*|forbade"
     r"|outlaw\w*|illegal"),
    (r"success(?:es|ful|fully)?|succeed\w*|triumph", r"fail(?:s|ed|ure|ures)?|fiasco|flop"),
    (r"safe|safely|harmless|secure", r"dangerous|unsafe|risky|hazardous|perilous|harmful"),
    (r"apprecia\w*|prais\w*|valu(?:e|es|ed)|commend\w*|applaud\w*",
     r"criti[cs]\w*|blam(?:e|es|ed|ing)|denounc\w*|complain\w*"),
    (r"guilty|convicted", r"innocent|acquitted|not guilty"),
    (r"alive|surviv\w*", r"dead|died|killed|perished"),
    (r"possible", r"impossible"),
    (r"likely", r"unlikely"),
    (r"true|genuine|authentic|correct", r"false|untrue|fake|forged|forgery|incorrect|wrong"),
    (r"includ\w*", r"exclud\w*"),
    (r"open", r"closed"),
    (r"cheap|cheaper|affordable", r"expensive|costly"),
    (r"mandatory|compulsory|obligatory|required", r"optional|voluntary"),
    (r"effective|works", r"ineffective|useless"),
    (r"profitable|profits?", r"unprofitable|loss(?:es)?"),
    (r"good|healthy", r"bad|harmful|unhealthy"),
    (r"free|free of charge", r"charged|not free"),
    (r"blessing|beneficial|benefit(?:s|ed)?|advantage", r"harm(?:s|ed)?|curse|disadvantage|detrimental|disaster"),
    (r"remember\w*", r"forg[eo]t\w*"),
    (r"love[sd]?|lik(?:e|es|ed)", r"hat(?:e|es|ed)|dislik\w*"),
)  # fmt: skip

VIEWS = tuple(
    (re.compile(rf"\b(?:{one})\b", re.IGNORECASE), re.compile(rf"\b(?:{other})\b", re.IGNORECASE))
    for one, other in _VIEWS
)
LIGHT = frozenset(stem(word) for word in _LIGHT.split())
_KEYS = {
    stem(word): stem(line.split()[0])
    for line in reversed(_ONE_THING.strip().splitlines())
    for word in line.split()
}  # fmt: skip


@lru_cache(maxsize=50_000)
def key(word: str) -> str:
    """What stands for the stem ``word`` and all stems that can replace it."""
    return _KEYS.get(word, word)
