"""Places on the command line: boxes, polygons, and boxes at a time."""

from __future__ import annotations

import re

import click

from stream_anon.cli.times import Time

_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)")

Numbers = tuple[float, ...]


class _Box(click.ParamType[Numbers]):
    """``x0,y0,x1,y1`` in pixels."""

    name = "box"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Numbers:
        """Four numbers, the first two below the last two."""
        numbers = _numbers(str(value))
        if len(numbers) != 4:
            self.fail(f"'{value}' is no box; write x0,y0,x1,y1 in pixels", param, ctx)
        if not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
            self.fail(f"'{value}' is no box: x0 < x1 and y0 < y1", param, ctx)
        return numbers


class _Polygon(click.ParamType[tuple[Numbers, ...]]):
    """``x,y x,y x,y`` in pixels."""

    name = "polygon"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Numbers, ...]:
        """Three corners or more."""
        corners = tuple(_numbers(corner) for corner in str(value).split())
        if len(corners) < 3 or any(len(corner) != 2 for corner in corners):
            self.fail(f"'{value}' is no polygon; write 'x,y x,y x,y' in pixels", param, ctx)
        return corners


class _Keyframe(click.ParamType[tuple[float, Numbers]]):
    """``time:x0,y0,x1,y1``."""

    name = "keyframe"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, Numbers]:
        """Seconds and a box."""
        time, colon, box = str(value).rpartition(":")
        if not colon:
            self.fail(f"'{value}' is no keyframe; write time:x0,y0,x1,y1", param, ctx)
        return Time().convert(time, param, ctx), BOX.convert(box, param, ctx)


def _numbers(text: str) -> Numbers:
    """Numbers between commas; none where one of them is no number (or is NaN or infinite)."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(map(float, parts)) if all(map(_NUMBER.fullmatch, parts)) else ()


BOX, POLYGON, KEYFRAME = _Box(), _Polygon(), _Keyframe()
