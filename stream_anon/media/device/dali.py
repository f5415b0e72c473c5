"""NVIDIA DALI in the place of a decoder: closed groups of pictures, several of them at a time.

DALI takes whole files and gives RGB without times. So each group is a file in memory, its times
are kept here, its frames are counted, and what DALI did to the colours is undone by kernels
(``kernels/sources/rgb.cu``). What DALI cannot do, or did not do whole, the CPU does.
"""

from __future__ import annotations

import logging
import queue
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from stream_anon.media.device.decoded import Decoded, Redone, from_rgb
from stream_anon.media.device.gops import Gop, GopCutter, as_file
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.input import logs
from stream_anon.media.input.decoder import software
from stream_anon.media.input.info import StreamInfo, VideoInfo
from stream_anon.media.input.probe import reason
from stream_anon.media.pixel_formats import colour_matrix

log = logging.getLogger(__name__)

CODECS = {"cpu": ("vp8", "vp9"), "mixed": ("h264", "hevc", "av1", "vp9", "vp8", "mpeg4")}
"""What its two backends decode; ``mixed`` is the GPU."""
WORKERS = 4
"""Groups in flight: as many NVDEC units can work on one stream."""
AHEAD = 96 << 20
"""Bytes of frames that may lie decoded, over all groups in flight."""
SEQUENCE = 8
"""Frames of one call."""
PATIENCE = 3
"""Groups one after the other that DALI fails at, before it is not asked again."""
POLL = 0.1
JOIN = 10.0
"""Seconds that a sequence that is being decoded is waited for when nothing more is wanted."""
_FULL_RANGE = 2


def missing(backend: str = "mixed") -> str | None:
    """What is missing to use DALI, or None."""
    try:
        _library()
    except (ImportError, OSError, RuntimeError) as error:
        return f"DALI cannot be used ({reason(error)})"
    return None if backend in CODECS else f"DALI has no backend {backend}"


def unfit(stream: StreamInfo, backend: str = "mixed") -> str | None:
    """Why a stream is not for DALI, or None.

    RGB of 8 bits is all that it gives: what that does not hold is decoded otherwise.
    """
    video = stream.video
    if video is None or stream.codec not in CODECS[backend]:
        return f"DALI has no {stream.codec} here"
    if video.coded_pix_fmt != "yuv420p" or video.colour.range == _FULL_RANGE:
        return f"DALI would not keep the samples of {video.coded_pix_fmt}"
    if video.width % 2 or video.height % 2:
        return "DALI loses a row of colour in odd sizes"
    return "DALI is not used for interlaced video" if video.interlaced else None


def _library() -> tuple[Any, Any]:
    with warnings.catch_warnings():
        # Of its own dependencies; nothing that its user could do anything about.
        warnings.simplefilter("ignore")
        from nvidia import dali
        from nvidia.dali import fn
    return dali, fn


class Pipeline:
    """One DALI pipeline: a file in memory in, sequences of frames out.

    Args:
        backend: "mixed" for a GPU, "cpu".
    """

    def __init__(self, backend: str) -> None:
        dali, fn = _library()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            device = None if backend == "cpu" else 0
            pipeline = dali.Pipeline(1, 1, device, prefetch_queue_depth=1)
            with pipeline:
                pipeline.set_outputs(
                    fn.experimental.inputs.video(
                        name="file", device=backend, sequence_length=SEQUENCE,
                        last_sequence_policy="partial",
                    )
                )  # fmt: skip
            pipeline.build()
        self._pipeline = pipeline

    def run(self, data: bytes, count: int) -> Iterator[Any]:
        """Sequences (n, h, w, 3) of RGB; one is gone when the next is asked for.

        Raises:
            RuntimeError: DALI cannot decode it, or gives another number of frames.
        """
        self._pipeline.feed_input("file", np.frombuffer(data, np.uint8)[None])
        given = 0
        while given < count:
            (out,) = self._pipeline.run()
            sequence = out[0]
            found = int(sequence.shape()[0])
            given += found
            if given > count or (found < SEQUENCE and given < count):
                raise RuntimeError(f"{given} frames came of {count} packets")
            yield sequence


@dataclass(slots=True, eq=False)
class _Flight:
    """A group that is being decoded, and the frames of it that are ready."""

    gop: Gop
    ready: queue.Queue[Decoded | Exception | None]
    given: int = 0


class DaliContext:
    """Decodes one stream by DALI; called like ``av.CodecContext``.

    Args:
        stream: ``av.VideoStream``.
        video: what was found of it.
        kernels: of the device.
        backend: "mixed" for a GPU, "cpu" for DALI's own decoder there.
        workers, ahead: see ``WORKERS`` and ``AHEAD``.
        open_: makes a pipeline like ``Pipeline``, which is the default.
        live: every group is waited for as soon as it is whole.

    Attributes:
        missed: packets that could not be decoded.
    """

    def __init__(
        self, stream: Any, video: VideoInfo, kernels: DeviceKernels, backend: str = "mixed",
        workers: int = WORKERS, ahead: int = AHEAD, open_: Callable[[str], Any] | None = None,
        live: bool = False,
    ) -> None:  # fmt: skip
        self._stream, self._video = stream, video
        self._kernels, self._backend = kernels, backend
        self._workers, self._open = workers, open_ or Pipeline
        self._most = 0 if live else workers
        # Half of them wait to be counted, half to be taken.
        frame = video.width * video.height * 3 // 2
        self._quota = max(SEQUENCE, ahead // workers // frame // 2)
        self._cutter = GopCutter(stream)
        self._todo: queue.SimpleQueue[_Flight | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._flights: deque[_Flight] = deque()
        self._stopped = threading.Event()
        self._software: Any = None
        self._last: Gop | None = None
        self._skip: set[Any] = set()
        self._failures = self._redone = self._frames = 0
        self._why = ""
        self.codec = stream.codec_context.codec
        self.name = stream.codec_context.name
        self.extradata = stream.codec_context.extradata
        self.missed = 0

    @property
    def on_cpu(self) -> bool:
        """DALI decodes nothing more."""
        return self._software is not None

    @property
    def conceals(self) -> bool:
        """Frames came from DALI, which tells of no damage inside a slice."""
        return self._frames > 0

    @property
    def described(self) -> str:
        """What decoded, in words."""
        cpu = f"{self.codec.name} on the CPU"
        unit = "NVDEC" if self._backend == "mixed" else "CPU"
        words = f"DALI on the {unit} ({self.codec.name})" if unit == "CPU" else "DALI by NVDEC"
        if self._redone:
            words += f", {self._redone} groups of pictures by {cpu}"
        if self._software is None:
            return words
        return f"{words}, after {self._frames} frames {cpu}: {self._why}"

    def decode(self, packet: Any, doubted: bool = False) -> Iterator[Decoded | Redone]:
        """Frames that are ready with this packet; None drains.

        They are decoded while they are taken: whoever stops taking stops the decoder.

        Args:
            packet: ``av.Packet``, which carries its number as ``opaque``, or None.
            doubted: something is known to be wrong with it.
        """
        if self._software is not None:
            yield from self._on_the_cpu([packet])
            return
        gops = self._cutter.flush() if packet is None else self._cutter.push(packet, doubted)
        for gop in gops:
            if self._software is not None:
                yield from self._on_the_cpu(gop.packets)
            elif not gop.closed:
                yield from self._rest()
                self._give_up("a group of pictures is not closed")
                yield from self._on_the_cpu(gop.packets)
            else:
                self._start(gop)
                while len(self._flights) > self._most:
                    yield from self._landed()
                if self._failures >= PATIENCE:
                    yield from self._rest()
                    self._give_up(self._why)
        if self._software is not None:
            for gop in self._cutter.flush():
                yield from self._on_the_cpu(gop.packets)
        if packet is None:
            yield from self._rest()
            if self._software is not None:
                yield from self._on_the_cpu([None])

    def flush_buffers(self) -> None:
        """Stop; called once nothing more is wanted."""
        self._stopped.set()
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(JOIN)
        if self._software is not None:
            self._software.flush_buffers()

    def _start(self, gop: Gop) -> None:
        flight = _Flight(gop, queue.Queue(self._quota))
        self._flights.append(flight)
        if gop.doubted:
            # What damage does to the frames behind it, only the decoder on the CPU tells.
            flight.ready.put(RuntimeError("a packet is damaged"))
        else:
            self._todo.put(flight)
            if len(self._threads) < self._workers:
                # No pool: a library that hangs must not keep the process from ending.
                thread = threading.Thread(target=self._serve, name="dali", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self) -> None:
        while (flight := self._todo.get()) is not None and not self._stopped.is_set():
            self._work(flight)

    def _work(self, flight: _Flight) -> None:
        """Decode one group."""
        gop, pipeline = flight.gop, None
        try:
            try:
                pipeline = self._idle.get_nowait()
            except queue.Empty:
                pipeline = self._open(self._backend)
            held: list[Decoded] = []
            shown = iter(gop.shown())
            for sequence in pipeline.run(as_file(gop, self._stream), len(gop)):
                for surface in self._surfaces(sequence):
                    packet = next(shown)
                    one = Decoded(
                        surface, packet.pts, packet.duration or 0, packet.opaque,
                        packet is gop.packets[0],
                    )  # fmt: skip
                    held.append(one)
                # Nothing of a group is given before its frames are counted, if they fit in.
                if len(held) >= self._quota:
                    self._hand_on(flight, held)
                    held = []
            self._hand_on(flight, held)
            self._idle.put(pipeline)
            self._put(flight, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the CPU decodes this group
            self._put(flight, error)

    def _surfaces(self, sequence: Any) -> list[Any]:
        # DALI writes the next frames where these are read; that is over when this returns.
        matrix = self._video.colour.matrix
        return from_rgb(
            self._kernels, sequence, colour_matrix(matrix, self._video.height),
            colour_matrix(matrix, 0),
        )  # fmt: skip

    def _hand_on(self, flight: _Flight, frames: list[Decoded]) -> None:
        for frame in frames:
            self._put(flight, frame)

    def _put(self, flight: _Flight, item: Decoded | Exception | None) -> None:
        while not self._stopped.is_set():
            try:
                flight.ready.put(item, timeout=POLL)
            except queue.Full:
                continue
            return

    def _rest(self) -> Iterator[Decoded | Redone]:
        while self._flights:
            yield from self._landed()

    def _landed(self) -> Iterator[Decoded | Redone]:
        """The frames of the oldest group."""
        flight = self._flights.popleft()
        while True:
            item = flight.ready.get()
            if item is None:
                self._failures = 0
                break
            if isinstance(item, Exception):
                yield from self._redo(flight, item)
                break
            flight.given += 1
            self._frames += 1
            yield item
        self._last = flight.gop

    def _redo(self, flight: _Flight, error: Exception) -> Iterator[Redone]:
        """A group that DALI did not do, by the CPU; what was given of it is not given again."""
        self._redone += 1
        self._failures += not flight.gop.doubted
        self._why = f"DALI failed ({reason(error)[:100]})"
        decoded = self._by_the_cpu(software(self._stream, self._video), flight.gop.packets, True)
        for frame in decoded:
            if flight.given:
                flight.given -= 1
            else:
                yield frame

    def _by_the_cpu(self, context: Any, packets: list[Any], whole: bool) -> Iterator[Redone]:
        """Frames of packets; ``whole`` drains, and marks everything behind damage."""
        bad = False
        for packet in [*packets, None] if whole else packets:
            with logs.captured() as lines:
                try:
                    found = context.decode(packet)
                except av.FFmpegError:
                    found = []
                    bad = True
                    self.missed += 1
            hurt = any(logs.tells_damage(line) for _, _, line in lines)
            bad = (bad and whole) or hurt
            for frame in found:
                yield Redone(frame, bad or frame.is_corrupt)
        if whole:
            context.flush_buffers()

    def _give_up(self, why: str) -> None:
        """From here on the CPU alone, which needs to have seen the group before."""
        self._why = why
        self._software = software(self._stream, self._video)
        if self._last is None:
            return
        self._skip = {packet.opaque for packet in self._last.packets}
        for packet in self._last.packets:
            try:
                self._software.decode(packet)
            except av.FFmpegError:
                log.debug("what was before is damaged, too")

    def _on_the_cpu(self, packets: list[Any]) -> Iterator[Redone]:
        """From where DALI was given up."""
        for frame in self._by_the_cpu(self._software, packets, False):
            if frame.opaque not in self._skip:
                yield frame
