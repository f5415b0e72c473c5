"""Places and colours on the command line: boxes, polygons, boxes at a time."""

from __future__ import annotations

import re

import click

from stream_anon.cli.times import Time

_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)")

_HEX = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
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


class Colour(click.ParamType[tuple[int, int, int]]):
    """Red, green and blue: ``255,128,0`` or ``#ff8000``."""

    name = "colour"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        """Three levels of 0 to 255."""
        text = str(value).strip()
        if match := _HEX.fullmatch(text):
            red, green, blue = (int(part, 16) for part in match.groups())
            return red, green, blue
        parts = [part.strip() for part in text.split(",")]
        known = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 4]
        if len(parts) != 3 or len(known) != 3 or max(known) > 255:
            self.fail(f"'{value}' is no colour; write 255,128,0 or #ff8000", param, ctx)
        return known[0], known[1], known[2]
