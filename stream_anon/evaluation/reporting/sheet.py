"""A contact sheet: two videos side by side at the same moments, for a person to look at.

    python -m stream_anon.evaluation.reporting.sheet before.mp4 after.mp4 sheet.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import InputError, OutputError

Image = NDArray[np.uint8]

GAP, LABEL = 8, 28
"""Pixels between frames and for a line of text above them."""


def contact_sheet(
    before: str | Path,
    after: str | Path,
    path: str | Path,
    columns: tuple[str, str] = ("before", "after"),
    rows: int = 4,
    width: int = 640,
) -> None:
    """Write a frame with a row for each moment and a column for each video.

    Args:
        before: a video.
        after: the other; the shorter of the two decides on the moments.
        path: where to write, as PNG or JPEG by its suffix.
        columns: what stands above the two columns.
        rows: moments, evenly spaced from start to end.
        width: of each frame, in pixels.

    Raises:
        InputError: a video cannot be read.
        OutputError: the sheet cannot be written.
    """
    length = min(_length(before), _length(after))
    # None of the moments is the very start or end.
    times = [length * (index + 0.5) / rows for index in range(rows)]
    pairs = zip(
        times, frames_at(before, times, width), frames_at(after, times, width), strict=True
    )
    lines = [_row(f"{time:.2f} s", columns, left, right) for time, left, right in pairs]
    margin = np.full((GAP, lines[0].shape[1], 3), 255, dtype=np.uint8)
    sheet = np.vstack([part for line in lines for part in (line, margin)])
    if not cv2.imwrite(str(path), sheet):
        raise OutputError(f"{path}: cannot be written")


def frames_at(path: str | Path, times: Sequence[float], width: int) -> list[Image]:
    """The frames shown at these times, counted from the video's first frame.

    Args:
        path: a video.
        times: in seconds, rising.
        width: of the returned frames, which are turned upright and scaled.

    Returns:
        One BGR image for each time; past the end, the last frame.

    Raises:
        InputError: the video cannot be read or has no frame.
    """
    found: list[Image] = []
    last: Any = None
    first: float | None = None
    try:
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                time = frame.time if frame.time is not None else number / 25
                first = time if first is None else first
                # Half a millisecond forgives the rounding between two time bases.
                while len(found) < len(times) and time - first > times[len(found)] + 5e-4:
                    found.append(_upright(last, width))
                last = frame
                if len(found) == len(times):
                    break
            if last is None:
                raise InputError(f"{path}: holds no image")
            found += [_upright(last, width)] * (len(times) - len(found))
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    return found


def _length(path: str | Path) -> float:
    """Seconds from the first frame to the last."""
    stamps: list[float] = []
    packets = 0
    try:
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    packets += 1
                    if packet.pts is not None and packet.time_base:
                        stamps.append(float(packet.pts * packet.time_base))
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    return max(stamps) - min(stamps) if stamps else packets / 25


def _upright(frame: Any, width: int) -> Image:
    image: Image = frame.to_ndarray(format="bgr24")
    image = np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _row(time: str, columns: tuple[str, str], left: Image, right: Image) -> Image:
    height = max(left.shape[0], right.shape[0])
    line = np.full((LABEL + height, left.shape[1] + GAP + right.shape[1], 3), 255, dtype=np.uint8)
    for image, label, at in zip((left, right), columns, (0, left.shape[1] + GAP), strict=True):
        line[LABEL : LABEL + image.shape[0], at : at + image.shape[1]] = image
        cv2.putText(
            line, f"{label}   {time}", (at + 4, LABEL - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.55,
            (40, 40, 40), 1, cv2.LINE_AA,
        )
    return line


def main(arguments: Sequence[str]) -> int:
    """Run from a command line."""
    parser = argparse.ArgumentParser(prog="sheet", description="Two videos side by side.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--rows", type=int, default=4, help="moments [4]")
    parser.add_argument("--width", type=int, default=640, help="of each frame [640]")
    given = parser.parse_args(arguments)
    try:
        contact_sheet(given.before, given.after, given.sheet, rows=given.rows, width=given.width)
    except (InputError, OutputError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
