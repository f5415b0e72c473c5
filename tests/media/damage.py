"""Files that are broken on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.media.clips import FAST, av_frame


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
    """An MPEG-TS whose frames change: ``parts`` are (width, height, pixel format)."""
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
                image = av_frame(index, width, height, pix_fmt)
                image.pts = 90000 + 3600 * (n * count + index)
                image.time_base = time_base
                container.mux(stream.encode(image))
            container.mux(stream.encode(None))
        chunks.append(piece.read_bytes())
    path.write_bytes(b"".join(chunks))
    return path


def _unit(kind: int, payload: bytes) -> bytes:
    """An H.264 SEI message as a NAL unit with its start code."""
    data, out, zeros = bytes([6, kind, len(payload)]) + payload + b"\x80", bytearray(), 0
    for byte in data:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + bytes(out)


WITNESS = b"the name of a witness"


def with_captions(source: Path, target: Path) -> Path:
    """An H.264 elementary stream with captions and user data before each slice."""
    captions = b"\xb5\x00\x31GA94\x03\xc1\xff\xfc\x94\x2c\xff"
    said = _unit(4, captions) + _unit(5, bytes(range(16)) + WITNESS)
    parts = re.split(rb"(\x00\x00\x00?\x01(?=[\x65\x41\x01\x61]))", source.read_bytes())
    slices = zip(parts[1::2], parts[2::2], strict=True)
    target.write_bytes(parts[0] + b"".join(said + start + data for start, data in slices))
    return target


def hide_sound(source: Path, target: Path, seconds: float) -> Path:
    """An MP4 whose edit list leaves out the beginning of its sound, which stays in the file."""
    data = bytearray(source.read_bytes())
    track = data.index(b"soun")
    lists = [m.start() for m in re.finditer(b"elst", data)]
    at = max(place for place in lists if place < track)
    media = int.from_bytes(data[at + 16 : at + 20])
    scale = data.index(b"mdhd", at)
    units = round(seconds * int.from_bytes(data[scale + 16 : scale + 20]))
    data[at + 16 : at + 20] = (media + units).to_bytes(4)
    target.write_bytes(data)
    return target
