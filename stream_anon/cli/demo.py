"""``make demo``: a clip, its redaction, and an image of both, in ``demo/``.

Without a clip of one's own it makes one: a slow pan and zoom over NASA's public-domain portrait
of the astronaut Eileen Collins (fetched by the model registry, hash-pinned), with a tone as sound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.cli.boundary import attempt, explain, run
from stream_anon.evaluation.reporting.sheet import contact_sheet
from stream_anon.models import registry

WIDTH, HEIGHT, RATE, SECONDS = 1280, 720, 30, 6
SOUND_RATE, TONE = 48_000, 440.0

# Centre and width of what is seen, in pixels of the 512x512 portrait, at these times in seconds.
_TIMES = (0.0, 1.5, 3.5, 5.0, 6.0)
_X = (256.0, 236.0, 222.0, 262.0, 256.0)
_Y = (150.0, 140.0, 120.0, 150.0, 150.0)
_WIDE = (510.0, 420.0, 240.0, 430.0, 500.0)


def make_clip(path: Path) -> None:
    """Write the demo clip.

    Raises:
        ModelError: the portrait is not here and cannot be fetched.
    """
    portrait = cv2.imread(str(registry.path("astronaut")), cv2.IMREAD_COLOR)
    if portrait is None:
        raise OSError("the portrait cannot be read")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video: Any = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"preset": "veryfast", "crf": "18"}
        sound: Any = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for view in _views(np.asarray(portrait, dtype=np.uint8)):
            frame = av.VideoFrame.from_ndarray(view, format="bgr24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for samples in _tone():
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))


def _views(portrait: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    times = np.arange(RATE * SECONDS) / RATE
    for x, y, wide in zip(*(_smooth(times, track) for track in (_X, _Y, _WIDE)), strict=True):
        scale = WIDTH / wide
        move = np.array(
            [[scale, 0.0, WIDTH / 2 - scale * x], [0.0, scale, HEIGHT / 2 - scale * y]]
        )
        view = cv2.warpAffine(
            portrait, move, (WIDTH, HEIGHT), None, cv2.INTER_CUBIC, cv2.BORDER_REFLECT
        )
        yield np.asarray(view, dtype=np.uint8)


def _smooth(times: NDArray[np.float64], track: Sequence[float]) -> NDArray[np.float64]:
    """Ease in and out between the given points."""
    at = np.clip(np.searchsorted(_TIMES, times, side="right") - 1, 0, len(_TIMES) - 2)
    knots, values = np.array(_TIMES), np.array(track)
    share = (times - knots[at]) / (knots[at + 1] - knots[at])
    eased = share * share * (3 - 2 * share)
    return np.asarray(values[at] + (values[at + 1] - values[at]) * eased)


def _tone() -> Iterator[Any]:
    size = 1024
    for start in range(0, SOUND_RATE * SECONDS, size):
        phase = 2 * np.pi * TONE * (start + np.arange(size)) / SOUND_RATE
        samples = (0.1 * np.sin(phase)).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SOUND_RATE, start
        yield frame


def main(arguments: Sequence[str]) -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="Redact a clip and show both.")
    parser.add_argument("input", nargs="?", type=Path, help="a video; none makes a clip")
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="[demo]")
    parser.add_argument("--only-clip", action="store_true", help="make the clip and stop")
    given = parser.parse_args(arguments)
    folder: Path = given.folder
    before = given.input or folder / "in.mp4"
    after, report, sheet = (folder / name for name in ("out.mp4", "out.report.json", "out.png"))
    if given.input is None and (error := attempt(lambda: make_clip(before))):
        explain(error)
        return 1
    if given.only_clip:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    code = run(["redact", str(before), "-o", str(after), "--report", str(report), "-y"])
    if code != 0:
        return code
    if error := attempt(lambda: contact_sheet(before, after, sheet)):
        explain(error)
        return 1
    print(f"before: {before}\nafter:  {after}\nboth:   {sheet}\nreport: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
