"""Line plots as SVG text: no library, no script, nothing fetched."""

from __future__ import annotations

import math
from html import escape

from stream_anon.evaluation.reporting.report import Plot

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 16, 44
COLOURS = (
    "#1b6ca8", "#c8553d", "#4f8a3c", "#8a5fb0", "#b8860b", "#3aa6a0", "#7a7a7a", "#d46a9f",
)  # fmt: skip


def svg(plot: Plot) -> str:
    """Draw a plot.

    Raises:
        ValueError: there is no point, one is not finite, or a logarithmic axis has x <= 0.
    """
    points = [p for line in plot.lines for p in line.points]
    if not points or not all(math.isfinite(v) for p in points for v in p):
        raise ValueError(f"plot '{plot.title}' needs finite points")
    if plot.logarithmic and min(x for x, _ in points) <= 0:
        raise ValueError(f"plot '{plot.title}': a logarithmic axis needs x above 0")
    xs = [_along(x, plot.logarithmic) for x, _ in points]
    low_x, high_x = _span(min(xs), max(xs))
    low_y, high_y = _span(min(0.0, min(y for _, y in points)), max(y for _, y in points))
    inner_w, inner_h = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = (_along(x, plot.logarithmic) - low_x) / (high_x - low_x)
        up = (y - low_y) / (high_y - low_y)
        return LEFT + across * inner_w, TOP + (1.0 - up) * inner_h

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(plot.title)}">'
    ]
    for y in _ticks(low_y, high_y):
        at = place(points[0][0], y)[1]
        across = f'x1="{LEFT}" x2="{LEFT + inner_w}"'
        parts.append(f'<line {across} y1="{at:.1f}" y2="{at:.1f}" class="g"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" class="e">{y:g}</text>')
    for x in _x_ticks(plot, low_x, high_x):
        at = place(x, low_y)[0]
        parts.append(f'<text x="{at:.1f}" y="{TOP + inner_h + 16}" class="m">{x:g}</text>')
    middle = LEFT + inner_w / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" class="m">{escape(plot.x)}</text>')
    parts.append(
        f'<text x="14" y="{TOP + inner_h / 2:.0f}" class="m" '
        f'transform="rotate(-90 14 {TOP + inner_h / 2:.0f})">{escape(plot.y)}</text>'
    )
    for i, line in enumerate(plot.lines):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in (place(*p) for p in line.points))
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"{dash}/>')
        for a, b in (place(*p) for p in line.points):
            parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>')
        at = TOP + 10 + 17 * i
        start = WIDTH - RIGHT + 12
        parts.append(
            f'<line x1="{start}" y1="{at}" x2="{start + 18}" y2="{at}" stroke="{colour}"{dash}/>'
        )
        parts.append(f'<text x="{start + 24}" y="{at + 4}">{escape(line.name)}</text>')
    parts.append("</svg>")
    return "".join(parts)


def _along(x: float, logarithmic: bool) -> float:
    return math.log10(x) if logarithmic else x


def _span(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 5
    step = 10 ** math.floor(math.log10(raw))
    step *= next((m for m in (1, 2, 5) if step * m >= raw), 10)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _x_ticks(plot: Plot, low: float, high: float) -> list[float]:
    if not plot.logarithmic:
        return _ticks(low, high)
    seen = sorted({x for line in plot.lines for x, _ in line.points})
    decades = range(math.ceil(low), math.floor(high) + 1)
    return seen if len(seen) <= 9 else [10.0**k for k in decades]
