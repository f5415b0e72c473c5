"""Does memory grow with length? Peak memory of ``redact`` over a clip looped to two lengths.

    python -m stream_anon.evaluation.benchmarks.memory CLIP --minutes 1 --minutes 10

Each length runs in a process of its own, so that the peak is that run's alone.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import click

from stream_anon.evaluation.benchmarks.speed import looped
from stream_anon.media.input.probe import probe

_CHILD = """
import json, resource, sys
import stream_anon
report = stream_anon.redact(sys.argv[1], sys.argv[2], method=sys.argv[3])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"frames": report.frames_out, "peak_kib": peak, "seconds": report.time.total}))
"""


def peak(clip: Path, minutes: float, method: str) -> dict[str, float]:
    """Run one length.

    Returns:
        ``frames``, ``peak_kib``, ``seconds``.
    """
    video = probe(clip).video[0].video
    rate = float(video.rate) if video is not None else 25.0
    with looped(clip, round(minutes * 60 * rate)) as (long, _):
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(long), str(long.with_name("out.mkv")), method],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@click.command()
@click.argument("clip", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--minutes", multiple=True, type=float, default=(1.0, 10.0), show_default=True)
@click.option("--method", default="pixelate", show_default=True)
def main(clip: Path, minutes: tuple[float, ...], method: str) -> None:
    """Print the peak memory of each length, and the largest over the smallest."""
    peaks = []
    for length in minutes:
        found = peak(clip, length, method)
        peaks.append(found["peak_kib"] / 1024)
        click.echo(
            f"{length:g} min, {found['frames']:.0f} frames: peak {peaks[-1]:.0f} MiB, "
            f"{found['frames'] / found['seconds']:.1f} frames/s"
        )
    click.echo(f"largest over smallest: {max(peaks) / min(peaks):.3f}")
    limit = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    click.echo(f"largest process: {limit:.0f} MiB")


if __name__ == "__main__":
    main()
