"""Shown names: always distinct, the shortest at first, changed only when another document of the name arrives."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.store.names import Named, name_documents

PARTS = st.sampled_from(["a", "b"])
PATHS = st.tuples(st.lists(PARTS, max_size=4), PARTS, st.integers(0, 3)).map(
    lambda made: ("/" + "/".join([*made[0], made[1] + ".md"]), min(made[2], len(made[0])))
)


def named(origin: str, below: int) -> tuple[str, str]:
    return origin, "/".join(origin.split("/")[-1 - below :])


ARRIVALS = st.one_of(
    PATHS.map(lambda path: named(*path)),
    st.sampled_from(
        [("upload:a.md", "a.md"), ("upload:a (2).md", "a.md"), ("text:b.md", "b.md"), ("text:a/b.md",) * 2]
    ),
)


@given(st.lists(st.tuples(ARRIVALS, st.booleans()), max_size=25))
@settings(deadline=None, max_examples=400)
def test_names_stay_apart_whatever_comes_and_goes(steps: list[tuple[tuple[str, str], bool]]) -> None:
    known: dict[str, Named] = {}
    for number, ((origin, name), stays) in enumerate(steps, start=1):
        if not stays:
            known.pop(origin, None)
            continue
        if origin in known:
            continue
        by_name = {one.shown: one for one in known.values()}
        new = Named(number, origin, name, "")
        shown, changed = name_documents(new, [one for one in known.values() if one.name == name], by_name.get)
        for one in list(known.values()):
            if one.id in changed:
                assert len(changed[one.id]) > len(one.shown), "a name only grows"
                known[one.origin] = Named(one.id, one.origin, one.name, changed[one.id])
        known[origin] = Named(number, origin, name, shown)
        names = [one.shown for one in known.values()]
        assert len(set(names)) == len(names)
        if name not in by_name and all(one.name != name for one in known.values() if one.origin != origin):
            assert shown == name
