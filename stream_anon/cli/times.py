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


def clock(seconds: float) -> str:
    """``h:mm:ss`` for a reader."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
