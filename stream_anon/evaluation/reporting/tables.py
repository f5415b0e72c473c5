"""The tables of `stream-anon evaluate`'s JSON files as Markdown, for a page of results.

    python -m stream_anon.evaluation.reporting.tables privacy.json clips.json > tables.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stream_anon.errors import InputError


def markdown(path: Path) -> str:
    """The tables of one JSON file.

    Raises:
        InputError: it cannot be read or is no result of ``evaluate``.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        machine = found["machine"]
        quick = ", `--quick`" if found["quick"] else ""
        parts = [
            f"{found['what']}. {machine['processor']}, {machine['cores']} cores, OpenVINO "
            f"{machine['openvino']}, {machine['date']}{quick}."
        ]
        for section in found["sections"]:
            if section["tables"]:
                parts.append(f"## {section['title']}")
            parts += [_table(table) for table in section["tables"]]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no result of `stream-anon evaluate`") from error
    return "\n\n".join(parts)


def _table(table: dict[str, Any]) -> str:
    units = [column["unit"] for column in table["columns"]]
    head = "| " + " | ".join(column["title"] for column in table["columns"]) + " |"
    rule = "|" + "|".join("---" if unit == "text" else "---:" for unit in units) + "|"
    rows = [
        "| " + " | ".join(_cell(cell, unit) for cell, unit in zip(row, units, strict=True)) + " |"
        for row in table["rows"]
    ]
    note = [table["note"]] if table["note"] else []
    return "\n\n".join([f"**{table['title']}**", "\n".join([head, rule, *rows]), *note])


def _cell(cell: Any, unit: str) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, dict):
        low, high = cell.get("low"), cell.get("high")
        if low is None or high is None:
            return _number(cell["value"], unit)
        return f"{_number(cell['value'], unit)} [{_number(low, unit)}, {_number(high, unit)}]"
    return cell if isinstance(cell, str) else _number(cell, unit)


def _number(value: float, unit: str) -> str:
    if isinstance(value, bool | int):
        return str(value)
    if unit == "percent":
        share = 100.0 * value
        return f"{share:.1f}" if share >= 10.0 else f"{share:.2f}"
    return f"{value:.2f}" if unit == "ms" else f"{value:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables of all files, in order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path, metavar="JSON")
    given = parser.parse_args(arguments)
    try:
        print("\n\n".join(markdown(path) for path in given.files))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
