"""``stream-anon budget``: what the ledger of a run promises, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from stream_anon.privacy.composition import Composed
    from stream_anon.privacy.contract import MechanismRecord
    from stream_anon.privacy.ledger import PrivacyReport

_NOTHING = (
    "Nothing was randomised in this run: its method has no privacy budget, and no "
    "differential-privacy guarantee."
)


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--delta",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    help="Total delta to state epsilon at. Default: the mechanism's own, or 1e-6.",
)
@click.option(
    "--accountant",
    type=click.Choice(["closed form", "dp-accounting"]),
    default="closed form",
    show_default=True,
    help="dp-accounting checks the table with that library (needs the [privacy] extra).",
)
def budget(manifest: Path, delta: float | None, accountant: str) -> None:
    """Print the privacy ledger of a run from its MANIFEST.

    One table with a line for every mechanism, one that says what several tracks of one person
    cost together, and the limits of both.
    """
    from rich.console import Console

    from stream_anon.privacy.composition import composition_table
    from stream_anon.privacy.ledger import read_report

    report = read_report(_load(manifest))
    console = Console()
    if report is None or not report["mechanisms"]:
        console.print(_NOTHING)
        return
    console.print(_mechanisms(report))
    for record in report["mechanisms"]:
        if record["epsilon"]:
            rows = composition_table(
                record,
                delta=delta,
                accountant="dp-accounting" if accountant == "dp-accounting" else "closed form",
            )
            console.print(_composition(record, rows))
        for assumption in record["assumptions"]:
            console.print(f"- {record['name']}: {assumption}", highlight=False)
    for words in report["limits"]:
        console.print()
        console.print(words, highlight=False)


def _load(path: Path) -> dict[str, Any]:
    from stream_anon.errors import InputError

    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a manifest: {error}") from error
    if not isinstance(manifest, dict):
        raise InputError(f"{path}: not a manifest: a JSON object is expected")
    tool = manifest.get("tool")
    known = isinstance(tool, dict) and tool.get("name") == "stream-anon"
    if not known or manifest.get("schema_version") != 1 or "privacy" not in manifest:
        # Of any other file it would be said that nothing was randomised in it.
        raise InputError(f"{path}: not a manifest: no report of stream-anon, or of another version")
    return manifest


def _mechanisms(report: PrivacyReport) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        *("mechanism", "tracks", "d", "epsilon", "delta", "sensitivity", "expected cosine"),
        title="Identity codes released, one per track",
        box=box.SIMPLE,
    )
    for record in report["mechanisms"]:
        own = (record["name"], record["dimension"], record["epsilon"], record["delta"])
        count = sum(
            (line["mechanism"], line["dimension"], line["epsilon"], line["delta"]) == own
            for line in report["tracks"]
        )
        count += sum(
            line["tracks"]
            for line in report.get("folded", [])
            if (line["mechanism"], line["dimension"], line["epsilon"], line["delta"]) == own
        )
        table.add_row(
            record["name"],
            str(count),
            str(record["dimension"]),
            _number(record["epsilon"]),
            _number(record["delta"]),
            f"{record['sensitivity']:.4g} ({record['norm']})",
            f"{record['expected_cosine']:.3f}",
        )
    return table


def _composition(record: MechanismRecord, rows: list[Composed]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        *("tracks", "sum of epsilons", "epsilon", "at delta", "by"),
        title=f"Several tracks of one person, together: {record['name']}",
        box=box.SIMPLE,
    )
    for row in rows:
        table.add_row(
            str(row.tracks),
            _number(row.basic_epsilon),
            _number(row.epsilon),
            _number(row.delta),
            row.method,
        )
    return table


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
