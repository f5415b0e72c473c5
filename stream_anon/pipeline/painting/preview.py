"""One frame of what a run would make, before the run: for choosing a method and its strength."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.config import Config, override
from stream_anon.errors import GateError, InputError, OutputError, UsageError
from stream_anon.media.cleared import Cleared
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.output.sink import Sink
from stream_anon.media.packets import Gap, Packet
from stream_anon.media.part_file import PartFile
from stream_anon.pipeline.analysis import make_analyzer
from stream_anon.pipeline.ends import make_source
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.targets import make_targets, other_methods
from stream_anon.pipeline.plan import Plan, make_plan
from stream_anon.pipeline.run import Pipeline

SUFFIX = "_preview.png"
_AROUND = 2.0
"""Seconds before and after the frame that are analysed as well: who is in it is settled by them."""
_GAP = 8

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Preview:
    """What was written.

    Attributes:
        path: the PNG.
        seconds: presentation time of the frame.
        faces: painted in it.
        shows_people: its left half is the frame as it was.
    """

    path: Path
    seconds: float
    faces: int
    shows_people: bool


def preview(
    input: str | Path,
    moment: float,
    config: Config,
    output: str | Path | None = None,
    *,
    before: bool = True,
    overwrite: bool = False,
    cancel: threading.Event | None = None,
) -> Preview:
    """Write one frame as PNG, as it was and as it would become, beside each other.

    Args:
        input: a video or photo.
        moment: seconds from the beginning; the first frame from there on is taken.
        config: as of the run to come.
        output: the PNG; None for ``NAME_preview.png`` beside the input.
        before: the left half shows the frame as it was: such a file is made so that only its
            owner can read it.
        overwrite: a file of that name may go.
        cancel: set from another thread to stop.

    Raises:
        UsageError: the output is no name for it, or exists.
        StreamAnonError: as from a run.
    """
    source = Path(input)
    target = source.with_name(f"{source.stem}{SUFFIX}") if output is None else Path(output)
    if target.suffix.lower() != ".png":
        raise UsageError(f"{target}: a preview is a png")
    if target.is_dir() or (os.path.lexists(target) and not overwrite):
        raise UsageError(f"{target}: exists; -y replaces it")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: there is no folder {target.parent}")
    start = max(0.0, moment - _AROUND)
    span = {"video.start": start or None, "video.end": moment + _AROUND, "verify.mode": "off"}
    # What the plan would write is not written: any name that fits will do.
    plan = make_plan(source, None, override(config, **span))
    length = plan.info.duration
    if length is not None and moment > length:
        raise UsageError(f"{source}: ends at {length:.3f} s, there is no frame at {moment:g} s")
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the input; inputs are never written to")
    shot = _Shot(moment - start, before)
    _run(plan, shot, cancel)
    if shot.after is None:
        raise InputError(f"{source}: has no frame at {moment:g} s")
    _write(target, shot, source, overwrite)
    return Preview(target, start + shot.seconds, shot.faces, before)


class _Shot:
    """The frame that is wanted, before and after.

    Args:
        moment: seconds on the time line of the source.
        before: whether it is kept as it was.
    """

    def __init__(self, moment: float, before: bool) -> None:
        self._moment, self._keeps = moment, before
        self._index: int | None = None
        self._stream: int | None = None
        self.before: Image | None = None
        self.after: Image | None = None
        self.seconds, self.faces = 0.0, 0

    def read(self, frame: Frame) -> None:
        """A frame was decoded; the first from the moment on, or else the last, is the one."""
        if self._stream is None:
            self._stream = frame.stream
        past = self._index is not None and self.seconds >= self._moment
        if frame.stream != self._stream or past:
            return
        self._index, self.seconds = frame.index, frame.seconds
        if self._keeps:
            self.before = _picture(frame)

    def write(self, cleared: Cleared) -> None:
        """A frame was cleared."""
        wanted = (cleared.stream, cleared.index) == (self._stream, self._index)
        faces, frame = len(cleared.painted), cleared.take()
        if wanted:
            self.after, self.faces = _picture(frame), faces


def _picture(frame: Frame) -> Image:
    """(h, w, 3) BGR, upright."""
    whole = np.array(frame.thumbnail(frame.width, frame.height))
    return np.ascontiguousarray(np.rot90(whole, frame.quarter_turns))


class _Watched(Source):
    """A source whose frames are seen before anybody paints them."""

    def __init__(self, source: Source, shot: _Shot) -> None:
        self.info, self.live = source.info, source.live
        self._source, self._shot = source, shot

    def __iter__(self) -> Iterator[Frame | Packet | Gap]:
        """The frames alone."""
        for item in self._source:
            if isinstance(item, Frame):
                self._shot.read(item)
                yield item

    def select(self, copied: Collection[int]) -> None:
        """See ``Source.select``."""
        self._source.select(copied)

    def close(self) -> None:
        """See ``Source.close``."""
        self._source.close()


class _Taken(Sink):
    """Keeps one cleared frame."""

    def __init__(self, shot: _Shot) -> None:
        self._shot = shot

    def write(self, cleared: Cleared) -> None:
        """See ``Sink.write``."""
        if type(cleared) is not Cleared:
            raise GateError(f"a {type(cleared).__name__} is not a cleared frame")
        self._shot.write(cleared)

    def copy(self, item: Packet) -> None:
        """Nothing is copied."""
        raise GateError(f"a packet of stream {item.stream}, which is not copied")

    def finish(self) -> None:
        """Nothing is written here."""

    def abort(self, hard: bool = False) -> None:
        """Nothing is left behind."""


def _run(plan: Plan, shot: _Shot, cancel: threading.Event | None) -> None:
    config = plan.request.config
    source = _Watched(make_source(plan), shot)
    analyzer = make_analyzer(plan)
    compositor = Compositor(
        make_targets(config),
        config.fault,
        config.draw_boxes,
        other_methods(config, analyzer.methods),
        models_dir=config.models_dir,
    )
    Pipeline(plan, source, analyzer, compositor, _Taken(shot)).run(cancel=cancel)


def _write(target: Path, shot: _Shot, source: Path, overwrite: bool) -> None:
    halves: list[Any] = [shot.after]
    if shot.before is not None and shot.after is not None:
        gap = np.full((shot.after.shape[0], _GAP, 3), 255, np.uint8)
        halves = [shot.before, gap, shot.after]
    done, data = cv2.imencode(".png", np.hstack(halves))
    if not done:
        raise OutputError(f"{target}: cannot be written")
    part = PartFile(target, like=source, private=shot.before is not None)
    try:
        part.path.write_bytes(bytes(data))
        part.commit(overwrite)
    except OSError as error:
        raise OutputError(f"{target}: {(error.strerror or str(error)).lower()}") from error
    finally:
        part.discard()
