"""The arguments of public methods, held against their annotations: one of a wrong type is told in a sentence.

Without it a wrong type ends wherever it first does not fit, in the database or in somebody else's package.
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import cache, wraps
from numbers import Integral, Real
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rag.errors import ArgumentError, RagError

Class = TypeVar("Class", bound=type)

_NUMBERS: Mapping[Any, type] = {int: Integral, float: Real}


def expecting(**errors: type[RagError] | None) -> Callable[[Class], Class]:
    """Decorate a class: its public methods raise ArgumentError for an argument that its annotation excludes.

    ``errors`` gives another error for arguments of that name; None leaves them to the method. Annotations that only
    type checkers can resolve, and coroutines, which hand on to what is checked, are left out.
    """

    def decorated(cls: Class) -> Class:
        for name, member in list(vars(cls).items()):
            bound = isinstance(member, classmethod | staticmethod)
            function = member.__func__ if bound else member
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                continue
            checked = _checked(f"{cls.__name__}.{name}", function, errors)
            setattr(cls, name, type(member)(checked) if bound else checked)
        return cls

    return decorated


def _checked(
    name: str, function: Callable[..., Any], errors: Mapping[str, type[RagError] | None]
) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @cache  # resolved when first called: a class is named in its own methods
    def hints() -> Mapping[str, Any]:
        written = {key: text for key, text in function.__annotations__.items() if key != "return"}
        known = function.__globals__
        found = get_type_hints(SimpleNamespace(__annotations__=written), known, _Known(known))
        named = {key for key, parameter in signature.parameters.items() if parameter.kind not in _MANY}
        return {key: hint for key, hint in found.items() if key in named and errors.get(key, ArgumentError)}

    @wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # too many or too few: Python says it best itself
            return function(*args, **kwargs)
        for key, hint in hints().items():
            if key in given and not fits(given[key], hint):
                kind = errors.get(key) or ArgumentError
                written = signature.parameters[key].annotation
                raise kind(
                    f"{name} takes {key} as {written}, not {_shown(given[key])}.",
                    hint=f"`help({name})` tells what it takes.",
                )
        return function(*args, **kwargs)

    return method


_MANY = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


class _Known(dict[str, Any]):
    """Names in annotations: what was only imported for type checkers may be anything."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, key: str) -> Any:
        if key in self._names or hasattr(builtins, key):
            raise KeyError(key)
        return Any


def fits(value: object, hint: Any) -> bool:
    """Whether a value is what an annotation says, the items of a sequence included; True for what cannot be told."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, arm) for arm in inner)
    if origin is Literal:
        return value in inner
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return _items_fit(value, inner[0])
    if origin is not None:
        return not isinstance(origin, type) or isinstance(value, origin)
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    if hint is None or hint is NoneType:
        return value is None
    return not isinstance(hint, type) or hint is Any or isinstance(value, hint)


def _items_fit(value: object, hint: Any) -> bool:
    """Any iterable will do; the items are looked at where that takes none of them away."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return False
    return not isinstance(value, Sequence | Set) or all(fits(item, hint) for item in value)


def _shown(value: object) -> str:
    if isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        kinds = sorted({type(item).__name__ for item in value})
        return f"{type(value).__name__} of {', '.join(kinds)}" if kinds else f"an empty {type(value).__name__}"
    return type(value).__name__
