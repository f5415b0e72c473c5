"""What x264 costs by threads of one encoder, and by chunks that encoders of one thread share.

    python -m stream_anon.evaluation.benchmarks.encoder_threads CLIP

Processor time and bytes: what a pool of encoders could save, and what it costs the file.
"""

from __future__ import annotations

import argparse
import resource
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stream_anon.media.output.encoders import ENCODERS, settings

THREADS = (1, 4, 8, 16)
CHUNKS = (30, 60, 120)
RATE = Fraction(30)


def _frames(clip: Path, count: int) -> list[Any]:
    """So many frames; a clip that is shorter goes back and forth."""
    found: list[Any] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            found.append(frame)
            if len(found) == count:
                break
    while len(found) < count:
        found += found[::-1]
    return found[:count]


def encode(frames: list[Any], threads: int, chunk: int | None = None) -> tuple[float, int]:
    """Encode frames as a run does.

    Args:
        frames: ``av.VideoFrame``s in yuv420p.
        threads: of each encoder.
        chunk: frames of a closed group that an encoder of its own gets; None for one encoder.

    Returns:
        Milliseconds of processor time a frame, and bytes.
    """
    size, began = 0, _processor()
    step = chunk or len(frames)
    for at in range(0, len(frames), step):
        context: Any = av.CodecContext.create(ENCODERS["h264"].name, "w")
        context.width, context.height = frames[0].width, frames[0].height
        context.pix_fmt, context.time_base, context.framerate = "yuv420p", 1 / RATE, RATE
        context.thread_type, context.thread_count = "AUTO", threads
        context.options = settings("h264", None, None)
        for number, frame in enumerate(frames[at : at + step]):
            frame.time_base, frame.pts, frame.pict_type = 1 / RATE, number, 0
            size += sum(packet.size for packet in context.encode(frame))
        size += sum(packet.size for packet in context.encode(None))
    return 1000.0 * (_processor() - began) / len(frames), size


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def table(clip: Path, count: int) -> list[str]:
    """Markdown: one row for each way."""
    frames = _frames(clip, count)
    plain, size = encode(frames, 1)
    rows = ["| x264, veryfast, crf 18 | processor time a frame | bytes |", "|---|---|---|"]
    rows.append(f"| one encoder, 1 thread | {plain:.1f} ms | 100 % |")
    ways: list[tuple[str, int, int | None]] = [
        *((f"one encoder, {n} threads", n, None) for n in THREADS[1:]),
        *((f"chunks of {n} frames, encoders of 1 thread", 1, n) for n in CHUNKS if n < count),
    ]
    for name, threads, chunk in ways:
        spent, made = encode(frames, threads, chunk)
        rows.append(f"| {name} | {spent:.1f} ms | {100 * made / size:.1f} % |")
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=240)
    options = parser.parse_args()
    print("\n".join(table(options.clip, options.frames)))


if __name__ == "__main__":
    main()
