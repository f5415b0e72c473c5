"""Places that the configuration names: an analyzer that adds them to what another one found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from stream_anon.config import RegionConfig
from stream_anon.errors import ConfigError
from stream_anon.media.frame import Frame
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.packets import Gap
from stream_anon.pipeline.report import AnalysisPart
from stream_anon.regions import REGION, Box, Point, Region, bounds, check_box, check_polygon, meets

if TYPE_CHECKING:
    from stream_anon.pipeline.analysis import Analyzed, Analyzer

FIRST_TRACK = 900_000_000
"""Tracks from here on are drawn regions', stream by stream, so that they are the same whether a
video is analysed or a Tracks file is read."""

EACH = 1000
"""Numbers of a stream, and so most regions."""

_Form = tuple[int, int, int, int]
"""Stream, width and height as stored, quarter turns that make it upright."""


class WithRegions:
    """Adds drawn regions to every frame, one that nobody has analysed included.

    Args:
        analyzer: says what else is in the frames; closed with this.
        regions: as configured.
        info: of the input.

    Raises:
        ConfigError: a region lies outside of the frame, has no area, or names no video stream.
    """

    def __init__(
        self, analyzer: Analyzer, regions: tuple[RegionConfig, ...], info: MediaInfo
    ) -> None:
        if len(regions) > EACH:
            raise ConfigError(f"{len(regions)} regions; {EACH} are believed")
        self._analyzer = analyzer
        self._regions = regions
        self._drawn: dict[_Form, list[tuple[RegionConfig, Region]]] = {}
        known = [stream.index for stream in info.video]
        for number, region in enumerate(regions):
            if region.stream is not None and region.stream not in known:
                raise ConfigError(
                    f"region {number + 1}: there is no video stream {region.stream}; "
                    f"there are {', '.join(map(str, known))}"
                )
        for stream in info.video:
            if (video := stream.video) is not None:
                self._of((stream.index, video.width, video.height, video.quarter_turns))

    @property
    def name(self) -> str:
        """Of the detector."""
        return self._analyzer.name

    @property
    def networks(self) -> tuple[str, ...]:
        """See ``Analyzer``."""
        return self._analyzer.networks

    @property
    def detections_run(self) -> int:
        """See ``Analyzer``."""
        return self._analyzer.detections_run

    @property
    def partial_detections_run(self) -> int:
        """See ``Analyzer``."""
        return self._analyzer.partial_detections_run

    @property
    def notes(self) -> list[str]:
        """See ``Analyzer``."""
        return self._analyzer.notes

    @property
    def methods(self) -> tuple[str, ...]:
        """See ``Analyzer``."""
        return self._analyzer.methods

    @property
    def origin(self) -> AnalysisPart | None:
        """See ``Analyzer``."""
        return self._analyzer.origin

    def push(self, item: Frame | Gap) -> Iterator[Analyzed]:
        """See ``Analyzer.push``."""
        yield from map(self._with, self._analyzer.push(item))

    def flush(self) -> Iterator[Analyzed]:
        """See ``Analyzer.flush``."""
        yield from map(self._with, self._analyzer.flush())

    def pace(self, interval: float) -> None:
        """See ``DetectAndTrack.pace``; an analyzer without one has nothing to slow down."""
        if (pace := getattr(self._analyzer, "pace", None)) is not None:
            pace(interval)

    def close(self) -> None:
        """See ``Analyzer.close``."""
        self._analyzer.close()

    def _with(self, analyzed: Analyzed) -> Analyzed:
        frame, regions = analyzed.frame, analyzed.regions
        try:
            known = self._of((frame.stream, frame.width, frame.height, frame.quarter_turns))
        except ConfigError as error:
            # A camera that has changed its size: the place is not known any more.
            return replace(analyzed, regions=replace(regions, unknown=str(error)))
        there = tuple(
            made
            for region, made in known
            if (region.start is None or frame.seconds >= region.start)
            and (region.end is None or frame.seconds <= region.end)
        )
        try:
            whole = replace(regions, items=(*regions.items, *there))
        except ValueError as error:
            # A Tracks file that gives a number of ours to something else.
            whole = replace(regions, unknown=f"a drawn region cannot be added: {error}")
        return replace(analyzed, regions=whole)

    def _of(self, form: _Form) -> list[tuple[RegionConfig, Region]]:
        """The regions of a stream whose frames have this form.

        Raises:
            ConfigError: one lies outside of them, or has no area.
        """
        made = self._drawn.get(form)
        if made is None:
            index, width, height, turns = form
            made = []
            for number, region in enumerate(self._regions):
                if region.stream in (None, index):
                    track = str(FIRST_TRACK + EACH * index + number)
                    try:
                        made.append((region, drawn(region, track, (width, height), turns)))
                    except ValueError as error:
                        raise ConfigError(f"region {number + 1}: {error}") from error
            self._drawn[form] = made
        return made


def drawn(region: RegionConfig, track: str, size: tuple[int, int], turns: int) -> Region:
    """A configured region in pixels of the frame as it is stored.

    Args:
        region: in pixels or shares of the upright frame.
        track: its number.
        size: width and height of the frame as it is stored.
        turns: quarter turns, counter-clockwise, that make the frame upright.

    Raises:
        ValueError: it has no area, lies outside of the frame, or its sides cross.
    """
    upright = size if turns % 2 == 0 else size[::-1]
    corners = tuple(
        (_pixels(x, upright[0]), _pixels(y, upright[1])) for x, y in region.corners
    )
    if len(corners) == 2:
        (x0, y0), (x1, y1) = corners
        box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        corners = ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))
    wide, high = upright
    for _ in range(turns % 4):
        # As numpy.rot90 back: (x, y) of the upright frame was (H - y, x) before the turn.
        corners = tuple((high - 1 - y, x) for x, y in corners)
        wide, high = high, wide
    around: Box = bounds(corners)
    check_box(around)
    if not meets(around, *size):
        raise ValueError(f"it lies outside of the frame of {upright[0]}x{upright[1]}")
    polygon: tuple[Point, ...] | None = None
    if len(region.corners) > 2:
        check_polygon(corners)
        polygon = corners
    return Region(track, REGION, around, None, 1.0, "edited", polygon, region.method)


def _pixels(value: float | str, side: int) -> float:
    """A coordinate; 0 % is the first pixel's centre and 100 % the last one's."""
    if isinstance(value, str):
        return float(value.removesuffix("%")) / 100.0 * (side - 1)
    return float(value)
