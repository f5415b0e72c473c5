"""Where a report goes, and where the shipped attackers' descriptions lie."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from stream_anon.errors import ConfigError, OutputError
from stream_anon.evaluation.reporting.page import render
from stream_anon.evaluation.reporting.report import Report


def write(report: Report, page: Path) -> list[Path]:
    """Write the page and, beside it, the JSON of the same name.

    Raises:
        OutputError: one of the two cannot be written.
    """
    written = []
    for path, text in ((page, render(report)), (page.with_suffix(".json"), report.as_json())):
        partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error})") from error
        written.append(path)
    return written


def shipped_attackers() -> list[Path]:
    """Descriptions of attackers that come with the project.

    Raises:
        ConfigError: this copy has none.
    """
    package = Path(str(resources.files("stream_anon")))
    # In an installed copy they lie inside the package, in a checkout beside it.
    for folder in (package / "_share" / "configs", package.parent / "configs"):
        found = sorted((folder / "attackers").glob("*.yaml"))
        if found:
            return found
    raise ConfigError("no attackers' descriptions are installed: name some by --attacker")
