"""Different words for one country: its adjective, its people, its abbreviation; and the capitals that speak for it."""

from __future__ import annotations

_TABLE = """
america: american us usa united_states ; washington
britain: british uk united_kingdom briton ; london
russia: russian ; moscow kremlin
china: chinese prc ; beijing
india: indian ; delhi
pakistan: pakistani ; islamabad
afghanistan: afghan ; kabul
iran: iranian ; tehran
iraq: iraqi ; baghdad
israel: israeli ; jerusalem
turkey: turkish turkiye ; ankara
saudi: saudis ; riyadh
egypt: egyptian ; cairo
syria: syrian ; damascus
france: french frenchman ; paris
germany: german ; berlin
italy: italian ; rome
spain: spanish spaniard ; madrid
portugal: portuguese ; lisbon
poland: polish ; warsaw
ukraine: ukrainian ; kyiv kiev
greece: greek ; athens
netherlands: dutch holland
belgium: belgian ; brussels
switzerland: swiss ; bern
austria: austrian ; vienna
hungary: hungarian ; budapest
czechia: czech ; prague
sweden: swedish ; stockholm
norway: norwegian ; oslo
denmark: danish ; copenhagen
finland: finnish ; helsinki
ireland: irish ; dublin
scotland: scottish ; edinburgh
wales: welsh ; cardiff
canada: canadian ; ottawa
mexico: mexican
brazil: brazilian ; brasilia
argentina: argentine argentinian
cuba: cuban ; havana
japan: japanese ; tokyo
korea: korean
vietnam: vietnamese ; hanoi
thailand: thai ; bangkok
indonesia: indonesian ; jakarta
philippines: filipino philippine ; manila
australia: australian ; canberra
kenya: kenyan ; nairobi
nigeria: nigerian ; abuja
ethiopia: ethiopian
somalia: somali
europe: european eu
asia: asian
africa: african
"""


def _read() -> tuple[dict[str, str], dict[str, str]]:
    same: dict[str, str] = {}
    capitals: dict[str, str] = {}
    for line in _TABLE.strip().splitlines():
        country, _, rest = line.partition(":")
        names, _, seats = rest.partition(";")
        own = [country, *names.split()]
        same.update(dict.fromkeys([*own, *(f"{name}s" for name in own)], country))
        capitals.update(dict.fromkeys(seats.split(), country))
    return same, capitals


SAME, CAPITALS = _read()
VARIANTS = {country: [w for w, c in SAME.items() if c == country] for country in set(SAME.values())}
"""``SAME``: word -> its country; ``CAPITALS``: capital -> the country whose government it often stands for;
``VARIANTS``: country -> its words."""
