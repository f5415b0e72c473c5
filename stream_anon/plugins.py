"""Detectors, methods and targets of other packages, found by entry point groups.

A package names what it brings in its metadata, and nothing of it is imported before it is asked
for by name:

    [project.entry-points."stream_anon.methods"]
    smear = "my_package:Smear"

What comes with this package is found first, so that no other package can take its place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from stream_anon.errors import ConfigError

Kind = Literal["detector", "method", "target"]

GROUPS: dict[Kind, str] = {
    "detector": "stream_anon.detectors",
    "method": "stream_anon.methods",
    "target": "stream_anon.targets",
}
"""Entry point groups."""


def names(kind: Kind) -> tuple[str, ...]:
    """What other packages register, sorted; nothing is imported."""
    return tuple(sorted({point.name for point in _points(kind)}))


def load(kind: Kind, name: str) -> Any | None:
    """What is registered under a name; None where nothing is.

    Raises:
        ConfigError: it cannot be imported, or several packages register the name; one line that
            names plug-in and package.
    """
    points = [point for point in _points(kind) if point.name == name]
    if not points:
        return None
    if len({(point.value, _package(point)) for point in points}) > 1:
        owners = " and ".join(sorted(f"{_package(point)} ({point.value})" for point in points))
        raise ConfigError(f"{kind} '{name}' is registered twice, by {owners}: remove one")
    point = points[0]
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        why = " ".join(str(error).split()) or "no more is known"
        raise ConfigError(
            f"{kind} '{name}' of {_package(point)} ({point.value}) cannot be loaded: "
            f"{type(error).__name__}: {why}"
        ) from error


def load_class(kind: Kind, name: str, base: type, options: type | None = None) -> type | None:
    """As ``load``, for a class.

    Args:
        kind, name: as for ``load``.
        base: what it must be a subclass of.
        options: what its ``Options``, its section of the configuration, must be a subclass of.

    Raises:
        ConfigError: as from ``load``, or it is no such class.
    """
    found = load(kind, name)
    if found is None:
        return None
    wrong = None
    if not (isinstance(found, type) and issubclass(found, base)):
        wrong = f"is no {base.__module__}.{base.__name__}"
    elif options is not None:
        section = getattr(found, "Options", None)
        if not (isinstance(section, type) and issubclass(section, options)):
            wrong = f"has no 'Options' of {options.__module__}.{options.__name__}"
    if wrong is not None:
        point = next(point for point in _points(kind) if point.name == name)
        raise ConfigError(f"{kind} '{name}' of {_package(point)} ({point.value}) {wrong}")
    made: type = found
    return made


def section(kind: Kind, name: str, base: type) -> Any | None:
    """The section of the configuration that a plug-in owns; None where there is no such plug-in.

    Raises:
        ConfigError: as from ``load``, or it owns none of the kind ``base``.
    """
    found = load_class(kind, name, object, base)
    return None if found is None else found.Options  # type: ignore[attr-defined]


def unknown(kind: Kind, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that nobody registers."""
    known = [*known, *names(kind)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f", did you mean '{near[0]}'?" if near else f"; there are {', '.join(known)}"
    return ConfigError(f"there is no {kind} '{name}'{hint}")


def _points(kind: Kind) -> list[EntryPoint]:
    return list(entry_points(group=GROUPS[kind]))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"
