"""How much damage is told: packets of small clips are broken at random, and counted.

    python -m tests.media.corruption [SEEDS]

prints, for each codec, in how many runs of ``stop`` with visible damage the damage was told, and
how many visibly changed frames carried no mark.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from stream_anon.errors import InputError
from stream_anon.media.input.source import FileSource
from tests.media.clips import texture
from tests.media.damage import remux

SIZE = (320, 192)
COUNT = 24
GOP = 12
VISIBLE = 6.0
"""Mean change of a square of 16 x 16 luma samples from which a frame counts as changed."""

CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "mjpeg": ("yuvj420p", {"q:v": "3"}),
    "libx264": ("yuv420p", {"crf": "20", "preset": "veryfast", "bf": "2", "g": "12"}),
    "libx265": (
        "yuv420p",
        {"crf": "20", "preset": "veryfast", "x265-params": "log-level=none:keyint=12"},
    ),
    "libvpx-vp9": (
        "yuv420p",
        {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8", "g": "12"},
    ),
    "libsvtav1": ("yuv420p", {"crf": "24", "preset": "10", "g": "12"}),
    "mpeg4": ("yuv420p", {"q:v": "3", "g": "12", "bf": "2"}),
}
KINDS = ("flip", "flips", "zeros", "noise", "hole", "cut", "gone")


def natural(index: int) -> np.ndarray:
    """(192, 320, 3) uint8 RGB: waves, grain that moves along, and a thing that crosses."""
    width, height = SIZE
    waves = texture(index, width, height, 1.5).astype(np.float32)
    grain = np.random.default_rng(7).normal(0, 14, (height, width + 2 * COUNT, 1))
    image = waves * 0.7 + 38 + grain[:, 2 * COUNT - 2 * index :][:, :width]
    image[60:120, 8 * index : 8 * index + 50] = (210, 160, 130)
    return np.clip(image, 0, 255).astype(np.uint8)


def make(path: Path, codec: str) -> Path:
    """A clip of ``COUNT`` frames with a keyframe every ``GOP``."""
    pix_fmt, options = CODECS[codec]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=25, options=options, width=SIZE[0], height=SIZE[1], pix_fmt=pix_fmt
        )
        if "q:v" in options:
            stream.codec_context.flags |= 2
            stream.codec_context.global_quality = 3 * 118
        for index in range(COUNT):
            image = av.VideoFrame.from_ndarray(natural(index), format="rgb24")
            image = image.reformat(format=pix_fmt)
            image.pts, image.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def broken(data: bytes, kind: str, rng: np.random.Generator) -> bytes | None:
    """A packet's payload, damaged behind its first eighth; None where it is lost."""
    low, size = max(1, len(data) // 8), len(data)
    at, length = int(rng.integers(low, max(low + 1, size - 2))), int(rng.integers(4, 64))
    out = np.frombuffer(data, np.uint8).copy()
    if kind == "flip":
        out[at] ^= 1 << int(rng.integers(8))
    elif kind == "flips":
        for place in rng.integers(low, size, max(2, size // 400)):
            out[place] ^= 1 << int(rng.integers(8))
    elif kind == "zeros":
        out[at : at + length] = 0
    elif kind == "noise":
        part = out[at : at + length]
        part[:] = rng.integers(0, 256, len(part), np.uint8)
    elif kind == "hole":
        return data[:at] + data[at + length :]
    elif kind == "cut":
        return data[:at]
    else:
        return None
    return out.tobytes()


@dataclass(slots=True)
class Count:
    """What became of damaged files.

    Attributes:
        visible: files in which a frame has changed, or is missing.
        passed: of these, files that a run under ``stop`` takes for whole.
        frames: frames that have visibly changed.
        unmarked: of these, frames without a mark.
    """

    visible: int = 0
    passed: int = 0
    frames: int = 0
    unmarked: int = 0


def lumas(path: Path) -> tuple[list[tuple[int, bool, np.ndarray]], bool]:
    """Milliseconds, mark and luma of all frames, as far as a damaged file goes under ``stop``.

    Returns:
        The frames, and whether reading ended with an error.
    """
    found = []
    try:
        with FileSource(path) as source:
            for frame in source.frames():
                found.append((round(1000 * frame.seconds), frame.corrupt, frame.luma(1).copy()))
    except InputError:
        return found, True
    return found, False


def difference(one: np.ndarray, two: np.ndarray) -> float:
    """Greatest mean change of a square of 16 x 16 samples."""
    change = np.abs(one.astype(np.float32) - two)
    return float(cv2.blur(change, (16, 16)).max())


def measure(codec: str, kinds: tuple[str, ...], seeds: range, folder: Path) -> Count:
    """Break one packet of a clip for each kind and seed, and count."""
    whole = make(folder / f"{codec}.mkv", codec)
    clean = {time: luma for time, _, luma in lumas(whole)[0]}
    count = Count()
    # Other muxers look into the packets of AV1, and refuse those that are broken.
    suffix = ".nut" if codec == "libsvtav1" else ".mkv"
    for kind in kinds:
        for seed in seeds:
            path = remux(whole, folder / f"broken{suffix}", _breaker(kind, seed))
            _add(count, path, clean, kind)
    return count


def _breaker(kind: str, seed: int) -> Callable[[int, bytes], bytes | None]:
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    # Not the last ones: what comes behind them is not there to tell.
    number = int(rng.integers(4 if kind == "gone" else 0, COUNT - 4))

    def change(n: int, data: bytes) -> bytes | None:
        return broken(data, kind, rng) if n == number else data

    return change


def _add(count: Count, path: Path, clean: dict[int, np.ndarray], kind: str) -> None:
    found, failed = lumas(path)
    changed = [
        marked
        for time, marked, luma in found
        if difference(luma, clean.get(time, luma * 0)) > VISIBLE
    ]
    lost = failed or (kind != "gone" and len(found) < len(clean))
    if not changed and not lost:
        return
    told = failed or any(marked for _, marked, _ in found)
    count.visible += 1
    count.passed += not told
    count.frames += len(changed)
    count.unmarked += sum(not marked for marked in changed)


def main(seeds: int) -> None:
    """Print the table."""
    print("codec      damage  files changed   taken for whole   frames changed   without a mark")
    with tempfile.TemporaryDirectory() as name:
        for codec in CODECS:
            for kind in KINDS:
                c = measure(codec, (kind,), range(seeds), Path(name))
                row = f"{c.visible:14} {c.passed:17} {c.frames:16} {c.unmarked:16}"
                print(f"{codec:10} {kind:6} {row}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
