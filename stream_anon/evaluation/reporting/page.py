"""A report as one HTML file that needs nothing else: no script, no font, no image beside it."""

from __future__ import annotations

import base64
import math
from html import escape

import cv2
import numpy as np

from stream_anon.evaluation.reporting.plot import svg
from stream_anon.evaluation.reporting.report import (
    LIMITS,
    Cell,
    Column,
    Report,
    Section,
    Sheet,
    Table,
)
from stream_anon.evaluation.scores import Estimate

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--dim:#767676}
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .3rem} h2{font-size:1.2rem;margin:2.4rem 0 .4rem;
border-top:1px solid var(--line);padding-top:1rem} h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{max-width:75ch;margin:.4rem 0} .dim{color:var(--dim);font-size:.87rem}
.scroll{overflow-x:auto} table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.22rem .7rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--soft)}
th{font-weight:600;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
td small{color:var(--dim)} nav a{margin-right:1rem} svg{max-width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:currentColor} svg .e{text-anchor:end}
svg .m{text-anchor:middle} svg .g{stroke:var(--line)} polyline{stroke-width:1.8}
.sheet{display:grid;gap:2px;align-items:center} .sheet img{display:block;width:96px;height:auto}
.sheet span{font-size:.8rem;padding-right:.6rem}
"""


def render(report: Report) -> str:
    """The page's text.

    Raises:
        ValueError: a plot has no points.
    """
    setting = report.setting
    title = str(setting.get("title", "Evaluation"))
    facts = ", ".join(
        f"{key.replace('_', ' ')} {value}" for key, value in setting.get("machine", {}).items()
    )
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="dim">{escape(str(setting.get("what", "")))}</p>',
        f'<p class="dim">{escape(facts)}</p>',
        f"<p>{escape(LIMITS)}</p>",
        "<nav>" + "".join(f'<a href="#{s.key}">{escape(s.title)}</a>' for s in report.sections),
        "</nav>",
        *(_section(section) for section in report.sections),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _section(section: Section) -> str:
    parts = [f'<section id="{section.key}"><h2>{escape(section.title)}</h2>']
    parts.append(f"<p>{escape(section.text)}</p>")
    parts += [_table(table) for table in section.tables]
    parts += [f"<h3>{escape(plot.title)}</h3>{svg(plot)}" for plot in section.plots]
    parts += [_sheet(sheet) for sheet in section.sheets]
    parts.append(f'<p class="dim">{section.seconds:.0f} s</p></section>')
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(c.title)}</th>" for c in table.columns)
    rows = [
        "<tr>"
        + "".join(f"<td>{_cell(v, c)}</td>" for v, c in zip(row, table.columns, strict=True))
        + "</tr>"
        for row in table.rows
    ]
    note = f'<p class="dim">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h3>{escape(table.title)}</h3><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{note}"
    )


def _cell(cell: Cell, column: Column) -> str:
    if isinstance(cell, Estimate):
        value = figure(cell.value, column)
        if math.isfinite(cell.low) and math.isfinite(cell.high) and cell.high > cell.low:
            value += f" <small>[{figure(cell.low, column)}, {figure(cell.high, column)}]</small>"
        return value
    if isinstance(cell, str) or cell is None:
        return escape(cell or "-")
    return figure(float(cell), column)


def figure(value: float, column: Column) -> str:
    """A number as its column wants it."""
    if not math.isfinite(value):
        return "-"
    if column.unit == "percent":
        return f"{100 * value:.1f}" if abs(value) >= 0.0995 else f"{100 * value:.2f}"
    if column.unit == "ms":
        return f"{value:.2f}"
    return f"{value:.3f}" if value != int(value) or abs(value) < 1 else f"{value:g}"


def _sheet(sheet: Sheet) -> str:
    widest = max((len(row) for row in sheet.rows), default=0)
    style = f"grid-template-columns:max-content repeat({widest},96px)"
    parts = [f"<h3>{escape(sheet.title)}</h3>"]
    parts.append(f'<div class="scroll"><div class="sheet" style="{style}">')
    for label, row in zip(sheet.labels, sheet.rows, strict=True):
        parts.append(f"<span>{escape(label)}</span>")
        parts += [f'<img alt="" src="{_data_url(image)}">' for image in row]
        parts += ["<i></i>"] * (widest - len(row))
    parts.append("</div></div>")
    return "".join(parts)


def _data_url(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    options = [cv2.IMWRITE_JPEG_QUALITY, 85]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def markdown(table: Table) -> str:
    """A table for a text file."""
    head = "| " + " | ".join(c.title for c in table.columns) + " |"
    rule = "|" + "|".join("---" if c.unit == "text" else "---:" for c in table.columns) + "|"
    rows = []
    for row in table.rows:
        cells = [
            _cell(v, c).replace("<small>", "").replace("</small>", "")
            for v, c in zip(row, table.columns, strict=True)
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join([head, rule, *rows])
