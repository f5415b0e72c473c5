"""The camera as the painting process sees it: a source whose frames come through shared memory."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from typing import Any

import av

from stream_anon.errors import StreamAnonError, UsageError
from stream_anon.live.clock import TICKS, TIME_BASE
from stream_anon.live.decoding import CHANGED
from stream_anon.live.painting.coded import CodedStream, MakeDecoder
from stream_anon.live.painting.rehearsal import live_info
from stream_anon.live.ring import Ring
from stream_anon.live.wire import Message, Wire, WireError
from stream_anon.media.cpu_frame import CpuFrame, Scaler
from stream_anon.media.device.frame import DeviceFrame
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.packets import Gap
from stream_anon.media.pixel_formats import plane_bytes

log = logging.getLogger(__name__)

POLL = 0.05
TOO_OLD = TICKS // 2
"""Ticks after which a frame is left out where a newer one waits: whoever is behind must not show
what was, but what is."""
MOST_MESSAGES = 256
REASONS = ("reconnect", "change of form", "left out")


def _no_decoder(*_: Any, **__: Any) -> Any:
    raise UsageError("there is no card to decode on")


class RingSource(Source):
    """Frames of one camera, from whichever reader process is at it.

    Attributes:
        form: width, height, rate of all frames; None until the camera, or an earlier reader of
            it, has told.
        torn: frames that were not what their message said; they are left out.
        left_out: frames that had become too old before they were looked at.
        missed: frames that the reader left out, as nothing was free to put them in.
        hosted: frames that were to lie on a device and stayed in host memory.
        decoder: what decodes, in words, where that is not the reader.

    Args:
        name: of the camera.
        now: ticks on its time line.
        lift: makes a frame on a device out of planes in the ring; None leaves it in host memory.
        make: makes a decoder on the device of packets that a reader hands on; None has none.
    """

    live = True

    def __init__(
        self, name: str, now: Callable[[], int], lift: Callable[..., Frame] | None = None,
        make: MakeDecoder | None = None,
    ) -> None:  # fmt: skip
        self.info = live_info()
        self.form: dict[str, Any] | None = None
        self.torn = self.left_out = self.missed = self.hosted = 0
        self._sequence: int | None = None
        self._lift, self._make = lift, make
        self._coded: CodedStream | None = None
        self._ready: deque[Frame | Gap] = deque()
        self.decoder = ""
        self._now = now
        self._waiting: deque[Message] = deque()
        self._name = name
        self._index = 0
        self._wire: Wire | None = None
        self._ring: Ring | None = None
        self._scaler = Scaler()
        self._wires: deque[Wire] = deque()
        self._lock = threading.Lock()
        self._ending = False

    def select(self, copied: Collection[int]) -> None:
        """Nothing is copied: sound may tell who speaks."""

    def attach(self, wire: Wire) -> None:
        """Another reader begins; from any thread."""
        with self._lock:
            self._wires.append(wire)

    def end(self) -> None:
        """No other reader will come: ``next`` says so when this one has gone."""
        self._ending = True

    @property
    def over(self) -> bool:
        """There will be nothing more."""
        return self._ending and self._wire is None and not self._wires

    def next(self, timeout: float) -> Frame | Gap | None:
        """The next frame or gap; None where none comes in ``timeout`` seconds.

        The frame is a copy: its slot is free again.
        """
        if self._ready:
            return self._next_ready()
        if self._wire is None or self._wires:
            with self._lock:
                if self._wires:
                    replaced = self._wire is not None
                    self._release()
                    self._wire = self._wires.popleft()
                    if replaced:
                        return Gap(0, "reconnect")
        if self._wire is None:
            threading.Event().wait(min(timeout, POLL))
            return None
        try:
            message = self._newest(self._wire, timeout)
            if message is not None:
                item = self._taken_or_closed(message)
                if item is not None:
                    self._ready.append(item)
                return self._next_ready()
            if self._wire.ended:
                self._release()
                return Gap(0, "reconnect")
        except WireError:
            # A reader that talks nonsense is not listened to any more; it will be replaced.
            self._ready.clear()
            self._release()
            return Gap(0, "reconnect")
        return None

    def _newest(self, wire: Wire, timeout: float) -> Message | None:
        """The next message; frames that have become too old while newer ones wait are left out."""
        if not self._waiting and (first := wire.receive(min(timeout, POLL))) is not None:
            self._waiting.append(first)
        while len(self._waiting) < MOST_MESSAGES and (more := wire.receive(0.0)) is not None:
            self._waiting.append(more)
        while self._waiting:
            message = self._waiting.popleft()
            pts, slot = message.data.get("pts"), message.data.get("slot")
            newer = any(one.type == "frame" for one in self._waiting)
            if message.type != "frame" or not newer or not isinstance(pts, int):
                return message
            if self._now() - pts <= TOO_OLD:
                return message
            self.left_out += 1
            self._count(message.data.get("sequence"))
            wire.send({"type": "free", "slot": slot}, timeout=5.0)
        return None

    def _count(self, sequence: Any) -> None:
        """The reader's number of a frame: those between it and the last one are missing."""
        if not isinstance(sequence, int):
            return
        if self._sequence is not None:
            # Another reader begins at one.
            self.missed += max(0, sequence - self._sequence - 1)
        self._sequence = sequence

    def _next_ready(self) -> Frame | Gap | None:
        """What was decoded; frames that have become too old while more is there are left out."""
        while self._ready:
            item = self._ready.popleft()
            newer = self._ready or any(one.type == "packet" for one in self._waiting)
            if isinstance(item, Gap) or not newer or self._now() - item.pts <= TOO_OLD:
                return item
            self.left_out += 1
        return None

    def _taken_or_closed(self, message: Message) -> Frame | Gap | None:
        try:
            return self._taken(message)
        except WireError:
            for descriptor in message.fds:
                os.close(descriptor)
            raise

    def _taken(self, message: Message) -> Frame | Gap | None:
        data = message.data
        if message.type == "packet" and not message.fds:
            self._decode(data)
            return None
        # Whatever else comes, the packets before it were the last of their decoder.
        self._end_coded()
        if message.type == "format":
            self._begin(message)
            return None
        if message.type == "coded":
            self._begin_coded(message)
            return None
        while message.fds:
            os.close(message.fds.pop())
        if message.type == "gap":
            reason = data.get("reason")
            return Gap(0, reason if reason in REASONS else "reconnect")
        ring, wire, form = self._ring, self._wire, self.form
        if message.type != "frame" or ring is None or wire is None or form is None:
            raise WireError("a frame came without its memory")
        return self._frame(data, ring, wire, float(form["rate"]))

    def _begin(self, message: Message) -> None:
        slots = message.data.get("slots")
        if len(message.fds) != 1 or not isinstance(slots, int):
            raise WireError("there is no memory for frames")
        form = self._formed(message.data)
        ring = Ring(message.fds.pop(), form["width"], form["height"], slots)
        if self._ring is not None:
            self._ring.close()
        self._ring, self.form = ring, self.form or form
        self.decoder = ""

    def _formed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Size and rate of what comes."""
        width, height, rate = (data.get(name) for name in ("width", "height", "rate"))
        if not isinstance(width, int) or not isinstance(height, int):
            raise WireError("a camera has no such size")
        if not isinstance(rate, int | float) or not 0.5 <= rate <= 240:
            raise WireError("a camera has no such rate")
        if self.form is not None and (width, height) != (self.form["width"], self.form["height"]):
            raise WireError("the size of the output does not change")
        return {"width": width, "height": height, "rate": float(rate)}

    def _begin_coded(self, message: Message) -> None:
        """Packets will come, for a decoder on the device."""
        form, wire = self._formed(message.data), self._wire
        make = self._make or _no_decoder
        self._coded = CodedStream(message, form, make, self._name)
        self.form = self.form or form
        self.decoder = self._coded.decoded_by
        if wire is not None and self._coded.why is not None:
            wire.send({"type": "host", "why": self._coded.why}, timeout=5.0)

    def _decode(self, data: dict[str, Any]) -> None:
        coded, wire = self._coded, self._wire
        if coded is None or wire is None:
            raise WireError("a packet came without its memory")
        known = coded.why
        frames, told = coded.feed(data)
        wire.send(told, timeout=5.0)
        self._decoded(frames)
        if known is None and coded.why is not None:
            log.warning("%s: the reader is to decode: %s", self._name, coded.why)
            wire.send({"type": "host", "why": coded.why}, timeout=5.0)
            if coded.why.startswith(CHANGED):
                self._ready.append(Gap(0, "change of form"))

    def _decoded(self, frames: list[Frame]) -> None:
        for frame in frames:
            frame.index = self._index
            self._index += 1
            self.hosted += not isinstance(frame, DeviceFrame)
        self._ready.extend(frames)

    def _end_coded(self) -> None:
        """What the decoder still holds, and its end."""
        coded, self._coded = self._coded, None
        if coded is not None:
            self._decoded(coded.drain())
            self.decoder = coded.decoded_by
            coded.close()

    def _frame(
        self, data: dict[str, Any], ring: Ring, wire: Wire, rate: float
    ) -> Frame | None:
        slot, sequence, pts = (data.get(name) for name in ("slot", "sequence", "pts"))
        matrix = data.get("matrix", 2)
        if not all(isinstance(one, int) for one in (slot, sequence, pts, matrix)):
            raise WireError("a frame's message lacks its numbers")
        place = {
            "index": self._index,
            "pts": int(pts),  # type: ignore[arg-type]
            "time_base": TIME_BASE,
            "rate": Fraction(rate).limit_denominator(1001),
            "corrupt": bool(data.get("corrupt")),
        }
        self._count(sequence)
        tag = matrix if isinstance(matrix, int) and 0 <= matrix <= 17 else None
        found = (int(slot), int(sequence))  # type: ignore[arg-type]
        frame = self._lifted(ring, found, tag, place) or self._copied(ring, found, tag, place)
        wire.send({"type": "free", "slot": slot}, timeout=5.0)
        if frame is None:
            self.torn += 1
            return None
        self._index += 1
        return frame

    def _lifted(
        self, ring: Ring, found: tuple[int, int], matrix: int | None, place: dict[str, Any]
    ) -> Frame | None:
        """The frame on the device, straight out of its slot; None where that cannot be done."""
        if self._lift is None:
            return None
        try:
            with ring.lent(*found) as planes:
                frame = self._lift(planes, matrix, place)
        except (StreamAnonError, RuntimeError, MemoryError) as error:
            # Slower, not less: what paints takes both.
            if not self.hosted:
                log.warning("%s: frames stay in host memory: %s", self._name, error)
            self.hosted += 1
            return None
        return frame if ring.is_whole(*found) else None

    def _copied(
        self, ring: Ring, found: tuple[int, int], matrix: int | None, place: dict[str, Any]
    ) -> Frame | None:
        """The frame in host memory, or None where it is not what its message said."""
        av_frame = av.VideoFrame(ring.width, ring.height, "yuv420p")
        planes = [
            plane_bytes(plane)[:, :width]
            for plane, (width, _) in zip(av_frame.planes, ring.sizes, strict=True)
        ]
        if not ring.read(*found, planes):
            return None
        av_frame.color_range = 1
        if matrix is not None:
            av_frame.colorspace = matrix
        return CpuFrame(av_frame, scaler=self._scaler, **place)

    def __iter__(self) -> Iterator[Frame | Gap]:
        """Frames and gaps until the readers are told to end; see ``Source.__iter__``."""
        while not self.over:
            if (item := self.next(POLL)) is not None:
                yield item

    def _release(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        for message in self._waiting:
            for descriptor in message.fds:
                os.close(descriptor)
        self._waiting.clear()
        if self._coded is not None:
            self._coded.close()
            self._coded = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def close(self) -> None:
        """Let go of the memory and the wire."""
        self._release()
        with self._lock:
            while self._wires:
                self._wires.popleft().close()
