"""``--target LABEL[=METHOD]`` and ``--region X,Y,X,Y[,X,Y...][=METHOD]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_anon.cli.boundary import fail_usage


def read_targets(given: Sequence[str]) -> dict[str, str | None]:
    """Labels and the methods that they name.

    Raises:
        UsageError: a label stands twice, or there is none.
    """
    found: dict[str, str | None] = {}
    for text in given:
        label, equals, method = (part.strip() for part in text.partition("="))
        if not label or (equals and not method):
            fail_usage(f"--target '{text}' is not LABEL or LABEL=METHOD")
        if label in found:
            fail_usage(f"--target {label} stands there twice")
        found[label] = method or None
    return found


def read_regions(given: Sequence[str]) -> list[dict[str, Any]]:
    """Rectangles (two corners) and polygons, as the configuration takes them.

    Raises:
        UsageError: it is neither.
    """
    found = []
    for text in given:
        corners, equals, method = (part.strip() for part in text.partition("="))
        numbers = [part.strip() for part in corners.split(",")]
        if len(numbers) < 4 or len(numbers) % 2 or (equals and not method):
            fail_usage(
                f"--region '{text}' is not X0,Y0,X1,Y1 or a polygon's X,Y,X,Y,X,Y, in pixels or "
                "shares (10%), and perhaps =METHOD"
            )
        values = [_number(part, text) for part in numbers]
        pairs = list(zip(values[::2], values[1::2], strict=True))
        found.append({"corners": tuple(pairs), "method": method or None})
    return found


def _number(part: str, text: str) -> float | str:
    if part.endswith("%"):
        return part
    try:
        return float(part)
    except ValueError:
        fail_usage(f"--region '{text}': '{part}' is no number of pixels and no share such as 10%")
