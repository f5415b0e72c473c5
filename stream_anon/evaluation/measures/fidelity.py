"""Does anything but the faces change? Every clip of a folder through ``redact``, then compared.

    python -m stream_anon.evaluation.measures.fidelity FOLDER --out docs/results/fidelity.md
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import click

import stream_anon
from stream_anon.config import Config, options_to_config
from stream_anon.errors import StreamAnonError
from stream_anon.media.compare import FileFacts, StreamFacts, describe, differences


@dataclass(frozen=True, slots=True)
class Row:
    """One clip.

    Attributes:
        clip: file name.
        before, after: frames of all video streams.
        times: presentation times of every frame are the same.
        size: frame sizes are the same.
        copied: number of copied streams, all of them bit for bit; None if one differs.
        other: what else differs, in words.
        error: why it did not go through.
    """

    clip: str
    before: int = 0
    after: int = 0
    times: bool = False
    size: bool = False
    copied: int | None = None
    other: tuple[str, ...] = ()
    error: str | None = None

    @property
    def kept(self) -> bool:
        """Same frames, times and sizes; copied streams identical."""
        same = self.before == self.after and self.times and self.size
        return same and self.copied is not None and self.error is None


def check(clip: Path, config: Config, folder: Path) -> Row:
    """Redact one clip and compare."""
    try:
        plan = stream_anon.plan(clip, None, config)
        target = folder / plan.request.output.name
        stream_anon.redact(clip, target, config=config, overwrite=True)
    except StreamAnonError as error:
        return Row(clip.name, error=str(error))
    a, b = describe(clip), describe(target)
    target.unlink()
    va, vb = _of(a, "video"), _of(b, "video")
    ca = [s.digest for s in a.streams if s.kind in ("audio", "subtitle")]
    cb = [s.digest for s in b.streams if s.kind in ("audio", "subtitle")]
    return Row(
        clip=clip.name,
        before=sum(len(s.times) for s in va),
        after=sum(len(s.times) for s in vb),
        times=[_milliseconds(s.times) for s in va] == [_milliseconds(s.times) for s in vb],
        size=[s.size for s in va] == [s.size for s in vb],
        copied=len(ca) if ca == cb else None,
        other=tuple(differences(a, b)),
    )


def run(
    folder: Path, config: Config, say: Callable[[str], None] = lambda line: None
) -> list[Row]:
    """Check every file of a folder that holds video."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="stream-anon-fidelity-") as made:
        for clip in sorted(folder.iterdir()):
            if clip.suffix in (".md", ".json") or not clip.is_file():
                continue
            rows.append(check(clip, config, Path(made)))
            say(line(rows[-1]))
    return rows


def line(row: Row) -> str:
    """A row of the table."""
    if row.error is not None:
        return f"| {row.clip} | - | - | - | - | failed: {row.error} |"
    yes = {True: "same", False: "**differ**"}
    copied = "**differ**" if row.copied is None else f"{row.copied} identical"
    other = "; ".join(row.other) or "nothing"
    frames = str(row.after) if row.before == row.after else f"**{row.before} -> {row.after}**"
    return f"| {row.clip} | {frames} | {yes[row.times]} | {yes[row.size]} | {copied} | {other} |"


def _of(facts: FileFacts, kind: str) -> list[StreamFacts]:
    return [s for s in facts.streams if s.kind == kind]


def _milliseconds(times: tuple[Fraction | None, ...]) -> list[int]:
    return [round(t * 1000) for t in times if t is not None]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--method", default=None)
def main(folder: Path, out: Path | None, method: str | None) -> None:
    """Redact and compare every clip of FOLDER."""
    config = options_to_config(Config(), {"method": method})
    rows = run(folder, config, click.echo)
    kept = sum(row.kept for row in rows)
    text = "\n".join(
        [
            "# What changes beside the faces",
            "",
            f"`python -m stream_anon.evaluation.measures.fidelity CLIPS --out "
            f"docs/results/fidelity.md`, "
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()} CPU, method {config.method.name}.",
            "",
            f"{kept} of {len(rows)} clips keep every frame, its time to the millisecond and its "
            "size, and all sound and subtitle packets bit for bit. A finer difference of times is "
            "in the last column, where the container's own clock is coarser than the input's.",
            "",
            "| clip | frames | times | sizes | sound and subtitles | what else differs |",
            "|---|---|---|---|---|---|",
            *map(line, rows),
            "",
        ]
    )
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    if kept < len(rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
