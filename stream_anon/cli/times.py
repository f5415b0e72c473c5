"""Points in time on the command line."""

from __future__ import annotations

import re

import click

_UNITS = {"s": 1.0, "ms": 0.001}
_SPAN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s)")
_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?|\.\d+)")


class Time(click.ParamType[float]):
    """Seconds (``12.5``, ``12.5s``, ``250ms``), minutes and seconds (``2:05``) or ``h:mm:ss``."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds as a number."""
        if isinstance(value, int | float):
            return float(value)
        if (spelt := _SPAN.fullmatch(str(value).strip())) is not None:
            return float(spelt[1]) * _UNITS[spelt[2]]
        match = _CLOCK.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"'{value}' is no time; write seconds (12.5) or h:mm:ss", param, ctx)
        hours, minutes, seconds = match.groups()
        if minutes is not None and float(seconds) >= 60:
            self.fail(f"'{value}' is no time: 60 seconds or more", param, ctx)
        return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def clock(seconds: float) -> str:
    """``h:mm:ss`` for a reader."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
