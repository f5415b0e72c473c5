"""Files that are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.video.clips import FAST, frame


def remux(source: Path, target: Path, change: Callable[[int, bytes], bytes | None]) -> Path:
    """Copy a file's video packet by packet.

    Args:
        change: from a packet's number and payload to what is written; None leaves it out.
    """
    with av.open(str(source)) as a, av.open(str(target), "w") as b:
        old = a.streams.video[0]
        new = b.add_stream_from_template(old, opaque=True)
        for number, packet in enumerate(p for p in a.demux(old) if p.size):
            data = change(number, bytes(packet))
            if data is None:
                continue
            out = av.Packet(data)
            out.pts, out.dts, out.duration = packet.pts, packet.dts, packet.duration
            out.time_base, out.is_keyframe = packet.time_base, packet.is_keyframe
            out.stream = new
            b.mux(out)
    return target


def scramble(data: bytes, seed: int = 0) -> bytes:
    """The payload with its second half overwritten by noise."""
    rng = np.random.default_rng(seed)
    half = len(data) // 2
    return data[:half] + rng.integers(0, 256, len(data) - half, np.uint8).tobytes()


def joined(path: Path, parts: list[tuple[int, int, str]], count: int = 8) -> Path:
    """An MPEG-TS whose pictures change: ``parts`` are (width, height, pixel format)."""
    time_base = Fraction(1, 90000)
    chunks = []
    for n, (width, height, pix_fmt) in enumerate(parts):
        piece = path.with_name(f"part{n}.ts")
        with av.open(str(piece), "w", container_options={"mpegts_copyts": "1"}) as container:
            stream = container.add_stream(
                "libx264",
                rate=25,
                options={**FAST, "bf": "0"},
                width=width,
                height=height,
                time_base=time_base,
                pix_fmt=pix_fmt,
            )
            for index in range(count):
                image = frame(index, width, height, pix_fmt)
                image.pts = 90000 + 3600 * (n * count + index)
                image.time_base = time_base
                container.mux(stream.encode(image))
            container.mux(stream.encode(None))
        chunks.append(piece.read_bytes())
    path.write_bytes(b"".join(chunks))
    return path
