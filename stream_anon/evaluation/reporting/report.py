"""What a measurement says: sections of tables, plots and sheets, as JSON and as one page."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon._version import __version__
from stream_anon.evaluation.scores import Estimate
from stream_anon.models import engine

Cell = Estimate | float | int | str | None
Unit = Literal["text", "percent", "number", "ms"]
Pixels = NDArray[np.uint8]

SCHEMA = 1

LIMITS = (
    "Figures hold for these recognisers, these sets and this version, and for nothing else. "
    "Chance is an equal error rate of 50 %. The row 'epsilon 0' is a random code with true "
    "attributes: what it shows above chance leaks outside the code, and no epsilon lowers it. "
    "Epsilon above about 10 is a resemblance knob, not strong privacy."
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title and what its numbers are."""

    title: str
    unit: Unit = "text"


@dataclass(slots=True)
class Table:
    """A table of figures.

    Attributes:
        title: above it.
        columns: in order.
        rows: one cell for each column.
        note: below it.
    """

    title: str
    columns: Sequence[Column]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""

    def add(self, *cells: Cell) -> None:
        """Append a row.

        Raises:
            ValueError: the number of cells is not that of the columns.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(list(cells))


@dataclass(slots=True)
class Line:
    """One line of a plot: points (x, y), in order."""

    name: str
    points: list[tuple[float, float]]
    dashed: bool = False


@dataclass(slots=True)
class Plot:
    """Lines over one axis.

    Attributes:
        title: above it.
        x: name of the horizontal axis.
        y: name of the vertical axis.
        lines: at least one point each.
        logarithmic: the horizontal axis is logarithmic; all x above 0.
    """

    title: str
    x: str
    y: str
    lines: list[Line]
    logarithmic: bool = False


@dataclass(slots=True)
class Sheet:
    """Rows of small images; they go to the page and never to the JSON.

    Attributes:
        title: above it.
        labels: one for each row.
        rows: (h, w, 3) uint8 RGB images of each row.
    """

    title: str
    labels: list[str]
    rows: list[list[Pixels]]


@dataclass(slots=True)
class Section:
    """One question and its answer.

    Attributes:
        key: short name, as ``--only`` takes it.
        title: for a reader.
        text: how it was measured.
        tables: figures.
        plots: drawn figures.
        sheets: images.
        seconds: it took.
        not_run: what could not be measured, and why.
    """

    key: str
    title: str
    text: str
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    seconds: float = 0.0
    not_run: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """A whole measurement.

    Attributes:
        setting: what was measured with what: set, attackers, options; no path of this machine.
        sections: in order.
    """

    setting: dict[str, Any]
    sections: list[Section] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the images, ready for ``json.dumps`` (no NaN: None)."""
        return {
            "schema": SCHEMA,
            "limits": LIMITS,
            **self.setting,
            "sections": [_section(section) for section in self.sections],
        }

    def as_json(self) -> str:
        """The JSON file's text."""
        return json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n"


def reason(error: Exception) -> str:
    """An error's words without this machine's folders: a report is passed on."""
    return re.sub(r"(?:/[^\s/:;,]+)+/", "", " ".join(str(error).split()))


def machine() -> dict[str, Any]:
    """On what, and when, something was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "stream_anon": __version__,
        "openvino": engine.version(),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return " ".join(line.partition(":")[2].split())
    except OSError:
        return platform.processor() or "unknown"
    return platform.processor() or "unknown"


def _section(section: Section) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "text": section.text,
        "seconds": round(section.seconds, 1),
        "tables": [
            {
                "title": table.title,
                "note": table.note,
                "columns": [{"title": c.title, "unit": c.unit} for c in table.columns],
                "rows": [[_cell(cell) for cell in row] for row in table.rows],
            }
            for table in section.tables
        ],
        "not_run": section.not_run,
        "plots": [dataclasses.asdict(plot) for plot in section.plots],
    }


def _cell(cell: Cell) -> Any:
    if isinstance(cell, Estimate):
        ends = (_number(v) for v in (cell.value, cell.low, cell.high))
        return dict(zip(("value", "low", "high"), ends, strict=True)) | {"count": cell.count}
    if isinstance(cell, float):
        return _number(cell)
    return cell


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
