"""Spans of time with units, ``250ms``, ``1.4s``, ``2m``, ``1h``, and clocks, ``1:02:03.5``."""

from __future__ import annotations

import re
from decimal import Decimal

_SPAN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h)")
_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?|\.\d+)")
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_LONGEST = 40
"""Characters: what is longer is no span, and its digits need not be read."""


def span(text: str) -> float:
    """Seconds of a number with a unit (ms, s, m, h).

    Raises:
        ValueError: it is not written so; one line says how to.
    """
    match = _SPAN.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"'{text[:_LONGEST]}' is no span of time; write 250ms, 1.5s, 2m or 1h")
    number, unit = match.groups()
    # Decimal, so that 280ms is the same number as 0.28.
    return float(Decimal(number) * _SECONDS[unit])


def moment(text: str) -> float:
    """Seconds of a point in time: ``12.5``, ``2:05``, ``h:mm:ss``, or as for ``span``.

    Raises:
        ValueError: it is not written so; one line says how to.
    """
    text = text.strip()
    if len(text) <= _LONGEST and _SPAN.fullmatch(text):
        return span(text)
    match = _CLOCK.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"'{text[:_LONGEST]}' is no time; write seconds (12.5), 90s or h:mm:ss")
    hours, minutes, seconds = match.groups()
    if minutes is not None and float(seconds) >= 60:
        raise ValueError(f"'{text}' is no time: 60 seconds or more")
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def written(seconds: float) -> str:
    """The shortest way to write a span; plain seconds where no unit makes it short."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("h", "m", "s"):
        count = exact / _SECONDS[unit]
        if count >= 1 and count == count.to_integral_value():
            return f"{int(count)}{unit}"
    short = exact / _SECONDS["ms"]
    if exact < 1 and short == short.to_integral_value():
        return f"{int(short)}ms"
    text = f"{exact:f}s"
    return text if len(text) <= 10 else repr(float(seconds))
