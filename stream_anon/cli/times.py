"""Points in time on the command line."""

from __future__ import annotations

import click

from stream_anon import units


class Time(click.ParamType[float]):
    """Seconds (``12.5``, ``90s``), minutes and seconds (``2:05``) or ``h:mm:ss``."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds as a number."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return units.moment(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Shot(click.ParamType[tuple[float, bool]]):
    """A point in time as of ``Time``; ``,after`` behind it leaves the frame as it was out."""

    name = "shot"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, bool]:
        """Seconds, and whether the frame as it was is shown."""
        if isinstance(value, tuple):
            return value
        words, _, after = str(value).partition(",")
        if after not in ("", "after"):
            self.fail(f"'{value}' is no TIME or TIME,after", param, ctx)
        return Time().convert(words, param, ctx), not after


def clock(seconds: float) -> str:
    """``h:mm:ss`` for a reader."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
