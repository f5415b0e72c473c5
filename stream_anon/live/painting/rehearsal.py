"""What a painting process can do before it is needed: import, load networks, paint a slate."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from stream_anon import recipes
from stream_anon.config import Config, parse
from stream_anon.detection.base import Detector
from stream_anon.errors import StreamAnonError
from stream_anon.geometry import TEMPLATE
from stream_anon.live.clock import TICKS, TIME_BASE
from stream_anon.live.config import EncoderConfig
from stream_anon.live.painting.encoder import Encoder
from stream_anon.live.painting.slate import Slate
from stream_anon.media.cpu_frame import CpuFrame, Scaler
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.packets import Gap
from stream_anon.regions import FACE, Region, Regions

log = logging.getLogger(__name__)

USUAL = {"width": 640, "height": 360, "rate": 25.0}
FRAMES = 12
"""Enough for the window of the tracker to be decided once, the rest by the gap."""


def live_info() -> MediaInfo:
    """What is known of a live source before its first frame."""
    return MediaInfo(path=None, format="live", size=0, start=0.0, duration=None, streams=())


@dataclass(slots=True)
class Prepared:
    """What is kept from one camera to the next: nothing of any picture.

    Attributes:
        parts: a pipeline like ``pipelines/live.py``.
        detectors: by their options.
    """

    parts: Any
    detectors: dict[str, Detector] = field(default_factory=dict)

    def detector(self, config: Config) -> Detector:
        """The one of these options; built where there is none."""
        key = config.detector.model_dump_json()
        if key not in self.detectors:
            self.detectors[key] = self.parts.detector(config)
        return self.detectors[key]


def rehearse(data: dict[str, Any]) -> Prepared:
    """Prepare for cameras: networks are loaded and compiled, a few slates go all the way.

    What fails here is told when it is needed.

    Args:
        data: ``pipeline``, and ``cameras`` with their ``engine`` and ``form`` or None.
    """
    # Each camera has a thread of its own: OpenCV's would only be in their way.
    cv2.setNumThreads(1)
    prepared = Prepared(recipes.pipeline(str(data["pipeline"])))
    known: list[tuple[Any, Any]] = []
    for camera in data["cameras"]:
        form = camera["form"] or USUAL
        if (camera["engine"], form) in known:
            continue
        known.append((camera["engine"], form))
        try:
            _paint(prepared, parse(camera["engine"], "standby"), form)
        except StreamAnonError as error:
            log.debug("a rehearsal failed: %s", error)
    return prepared


def _paint(prepared: Prepared, config: Config, form: dict[str, Any]) -> None:
    detector = prepared.detector(config)
    analyzer, compositor = prepared.parts.build(config, detector, live_info())
    width, height, rate = form["width"], form["height"], float(form["rate"])
    encoder = Encoder(width, height, rate, EncoderConfig())
    slate, scaler = Slate(width, height), Scaler()
    try:
        for index in range(FRAMES):
            frame = CpuFrame(
                slate.frame(),
                index=index,
                pts=round(index * TICKS / rate),
                time_base=TIME_BASE,
                rate=Fraction(rate).limit_denominator(1001),
                scaler=scaler,
            )
            for one in analyzer.push(frame):
                encoder.write(compositor.paint(one.frame, one.regions))
        for one in analyzer.push(Gap(0, "end")):
            # Networks of the method are loaded when there is somebody.
            faces = (_somebody(width, height),)
            encoder.write(compositor.paint(one.frame, Regions(one.frame.key, faces)))
    finally:
        compositor.close()
        analyzer.close()


def _somebody(width: int, height: int) -> Region:
    """A face where a slate has none, a quarter of the frame high."""
    scale = height / 4 / 112
    points = TEMPLATE * scale + (width / 4, height / 4)
    corners = np.array([[22.0, 14.0], [106.0, 126.0]]) * scale + (width / 4, height / 4)
    x0, y0, x1, y1 = map(float, corners.ravel())
    places = tuple((float(x), float(y)) for x, y in points)
    return Region("1", FACE, (x0, y0, x1, y1), places, 0.9, "detected")
