"""``stream-anon bench``: how fast ``redact`` is beside a bare transcode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from stream_anon.evaluation.benchmarks.speed import SpeedComparison


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.argument("clip", metavar="INPUT", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--method", metavar="NAME", help="As of redact.")
@click.option("--preset", metavar="NAME", help="As of redact.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="As of redact.")
@click.option("--frames", default=300, show_default=True, help="Loop the clip to this length.")
@click.option("--rounds", default=3, show_default=True, help="How often each of the two runs.")
@click.option("--versus", type=click.Choice(["deface"]), help="Also time another tool.")
@click.option("--json", "target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="Write all figures.")
def bench(
    clip: Path,
    method: str | None,
    preset: str | None,
    device: str | None,
    frames: int,
    rounds: int,
    versus: str | None,
    target: Path | None,
) -> None:
    """Time a bare transcode and redact in turns, and print their ratio.

    Both decode and encode the same frames at the same settings. Keep the
    machine quiet; the ratio is what counts, not the frames a second.
    """
    from stream_anon import recipes
    from stream_anon.config import Config, load, options_to_config
    from stream_anon.evaluation.benchmarks import speed

    config = load(recipes.preset(preset)) if preset else Config()
    config = options_to_config(config, {"method": method, "device": device})
    result = speed.bench(
        clip, config, frames=frames, rounds=rounds, say=lambda line: click.echo(line, err=True)
    )
    if versus:
        from stream_anon.evaluation.benchmarks.versus import deface

        with speed.looped(clip, min(frames, 60)) as (long, loops):
            frame_count = round(result.bare[0].frames / result.loops * loops)
            for name, options in (("deface", ()), ("deface 640x360", ("--scale", "640x360"))):
                result.other[name] = deface(long, frame_count, options)
    _show(result)
    if target is not None:
        target.write_text(json.dumps(result.to_json(), indent=2) + "\n", encoding="utf-8")


def _show(result: SpeedComparison) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result.clip}, {result.loops} times, {result.encoder}")
    for heading in ("", "frames/s", "processor ms a frame"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = [(f"bare transcode {i + 1}", t) for i, t in enumerate(result.bare)]
    rows += [(f"redact --method {result.method} {i + 1}", t) for i, t in enumerate(result.redact)]
    for name, timing in [*rows, *result.other.items()]:
        table.add_row(name, f"{timing.rate:.1f}", f"{1e3 * timing.processor / timing.frames:.1f}")
    console = Console()
    console.print(table)
    total = sum(result.stages.values())
    shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in result.stages.items())
    console.print(f"ratio {result.ratio:.2f} (by processor time {result.processor_ratio:.2f})")
    console.print(
        f"{result.faces:.1f} faces a frame, detector on {result.detections_run:.0%} of them"
    )
    if result.device_memory:
        bound, counted = (result.device_memory[name] / 1e6 for name in ("bound", "counted"))
        told = f"a stream takes at most {bound:.0f} MB, {counted:.0f} MB held"
        console.print(f"device memory: {told}")
    console.print(f"wall clock by stage, side by side: {shares}")
