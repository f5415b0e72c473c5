"""``stream-anon doctor``: what this machine has, what will be used, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from stream_anon.cli.boundary import FAILED, Exit


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option("--json", "as_json", is_flag=True, help="Print it for a program.")
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with network weights.",
)
def doctor(as_json: bool, models_dir: Path | None) -> None:
    """Say what this machine can do, what will be used, and why.

    Exit code: 0 ready, 1 something that `redact` needs is missing.
    """
    from stream_anon.cli.probe import examine

    found = examine(models_dir)
    click.echo(json.dumps(found, indent=2) if as_json else _table(found), nl=as_json)
    if found["problems"]:
        raise Exit(FAILED)


def _table(found: dict[str, Any]) -> str:
    lines: list[str] = []
    for title, content in found.items():
        if title == "problems":
            continue
        lines.append(title.replace("_", " "))
        for name, value in content.items():
            lines.append(f"  {name:<24} {_words(value)}")
        lines.append("")
    if found["problems"]:
        lines += ["problems", *(f"  {problem}" for problem in found["problems"])]
    else:
        lines.append("ready")
    return "\n".join(lines) + "\n"


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
