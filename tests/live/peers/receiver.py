"""A server or player of its own process: takes a stream, looks at it, says what it saw as JSON.

    python -m tests.live.peers.receiver FORMAT URL FRAMES [option=value ...]
"""

from __future__ import annotations

import itertools
import json
import sys

import av

from tests.live.scene import RAW, likeness, number


def main(kind: str, url: str, frames: int, options: dict[str, str]) -> dict[str, object]:
    count = 0
    times, worst, raw, numbers, sizes = [], 0.0, 0, 0, set()
    with av.open(url, format=None if kind == "any" else kind, options=options) as container:
        for av_frame in container.decode(video=0):
            luma = av_frame.to_ndarray(format="gray")
            seen = likeness(luma)
            worst, raw = max(worst, seen), raw + (seen > RAW)
            numbers += number(luma) is not None
            sizes.add((av_frame.width, av_frame.height))
            count += 1
            # FFmpeg knows no time of the first frame that comes over RTP.
            if av_frame.time is not None:
                times.append(float(av_frame.time))
            if count >= frames:
                break
    steps = [b - a for a, b in itertools.pairwise(times)]
    return {
        "frames": count, "raw": raw, "worst": worst, "numbers": numbers,
        "sizes": sorted(sizes), "backwards": sum(step <= 0 for step in steps),
        "span": times[-1] - times[0] if times else 0.0,
    }  # fmt: skip


if __name__ == "__main__":
    chosen = dict(one.split("=", 1) for one in sys.argv[4:])
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), chosen)), flush=True)
