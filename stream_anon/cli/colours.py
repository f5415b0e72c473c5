"""Colours on the command line."""

from __future__ import annotations

import re

import click

_HEX = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


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
