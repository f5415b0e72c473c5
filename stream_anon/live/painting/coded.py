"""Packets of one camera in the painting process, decoded on the card that its frames lie on.

One process and one context of the card for all cameras. What reads packets here is FFmpeg's parser
and, where the card gives up, for some seconds its decoder: until the reader, which is a process for
one camera alone, has taken over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av

from stream_anon.errors import FrameFault
from stream_anon.live.clock import TIME_BASE
from stream_anon.live.decoding import CARD, CHANGED
from stream_anon.live.ring import PacketRing
from stream_anon.live.wire import Message, WireError
from stream_anon.media.device.frame import DeviceFrame
from stream_anon.media.frame import Frame
from stream_anon.media.input.info import Colour, StreamInfo, VideoInfo
from stream_anon.media.input.probe import reason

PATIENCE = 250
"""Packets one after the other that give no frame, before the reader is asked to decode."""
LARGEST_HEADER = 1 << 16
MakeDecoder = Callable[..., Any]
"""Called like what ``media.device.choose.device_decoders`` gives."""


class CodedStream:
    """Decodes what a reader hands on.

    Args:
        message: "coded", with the memory of the packets.
        form: width, height and rate of the output, which the frames have.
        make: makes a decoder on the card.
        name: of the camera.

    Attributes:
        why: the reader is to decode; None while the card does.

    Raises:
        WireError: the message is none.
    """

    def __init__(
        self, message: Message, form: dict[str, Any], make: MakeDecoder, name: str
    ) -> None:
        data = message.data
        codec, header = data.get("codec"), data.get("extradata")
        if codec not in CARD or not isinstance(header, str) or len(header) > 2 * LARGEST_HEADER:
            raise WireError("packets came without a description")
        if data.get("pix_fmt") != "yuv420p" or len(message.fds) != 1:
            raise WireError("packets came without their memory")
        self.why: str | None = None
        self._memory_number = data.get("memory")
        self._empty = self._lost = self._told_lost = 0
        self._decoder: Any = None
        self._ring = PacketRing(message.fds.pop())
        info = _described(str(codec), form, bool(data.get("interlaced")))
        try:
            context = av.CodecContext.create(str(codec), "r")
            if header:
                context.extradata = bytes.fromhex(header)
            like = SimpleNamespace(
                codec_context=context,
                container=SimpleNamespace(format=SimpleNamespace(name="live")),
            )
            self._decoder = make(like, info, name, counted=False, motion=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader decodes then
            self.why = f"the card's decoder cannot be opened ({reason(error)})"

    @property
    def decoded_by(self) -> str:
        """What decodes, in words."""
        return "nothing" if self._decoder is None else str(self._decoder.decoded_by)

    def feed(self, data: dict[str, Any]) -> tuple[list[Frame], dict[str, Any]]:
        """Frames that are ready with a packet, and what the reader is told of it.

        Args:
            data: of a message "packet".

        Raises:
            WireError: it is none.
        """
        numbers = [data.get(key) for key in ("at", "size", "pts", "dts")]
        if not all(isinstance(one, int) for one in numbers):
            raise WireError("a packet's message lacks its numbers")
        at, size, pts, dts = (int(one) for one in numbers if isinstance(one, int))
        packet = av.Packet(self._ring.read(at, size))
        packet.pts, packet.dts, packet.time_base = pts, dts, TIME_BASE
        packet.is_keyframe = bool(data.get("key"))
        frames: list[Frame] = []
        if self._decoder is not None:
            frames = self._guarded(self._decoder.feed(packet, damaged=bool(data.get("corrupt"))))
        told = {
            "type": "done", "memory": self._memory_number, "frames": len(frames),
            "damaged": sum(bool(frame.corrupt) for frame in frames), "lost": self._more_lost(),
        }  # fmt: skip
        self._empty = 0 if frames else self._empty + 1
        if self.why is None and self._empty > PATIENCE:
            self.why = f"no frame in {PATIENCE} packets"
        if self.why is None and self._decoder.on_cpu:
            self.why = self._decoder.decoded_by
        return frames, told

    def drain(self) -> list[Frame]:
        """Frames that the decoder still holds; nothing more is fed."""
        return [] if self._decoder is None else self._guarded(self._decoder.feed(None))

    def close(self) -> None:
        """Let go of decoder and memory; safe to call twice."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            _quietly(decoder.close)
        self._ring.close()

    def _guarded(self, frames: Iterator[Frame]) -> list[Frame]:
        """Frames as far as they come; whatever fails is an end of this decoder, not of the run."""
        found: list[Frame] = []
        try:
            for frame in frames:
                if isinstance(frame, DeviceFrame) and frame.full_range:
                    raise FrameFault("frames are of full range now")
                found.append(frame)
        except FrameFault as error:
            self._end(f"{CHANGED}: {error}")
        except Exception as error:  # noqa: BLE001 - likewise; the frames are lost, not shown
            self._end(f"the card's decoder failed ({reason(error)})")
        return found

    def _end(self, why: str) -> None:
        self.why = self.why or why
        decoder, self._decoder = self._decoder, None
        self._lost += 1
        if decoder is not None:
            _quietly(decoder.close)

    def _more_lost(self) -> int:
        now = self._lost + (self._decoder.lost if self._decoder is not None else 0)
        more, self._told_lost = max(0, now - self._told_lost), now
        return more


def _quietly(action: Callable[[], None]) -> None:
    # It may have failed before; what it holds goes with it.
    with contextlib.suppress(Exception):
        action()


def _described(codec: str, form: dict[str, Any], interlaced: bool) -> StreamInfo:
    rate = Fraction(float(form["rate"])).limit_denominator(1001)
    video = VideoInfo(
        width=form["width"], height=form["height"], pix_fmt="yuv420p", coded_pix_fmt="yuv420p",
        rate=rate, sample_aspect=None, rotation=0, matrix=None, colour=Colour(),
        interlaced=interlaced, field_order=0, first_pts=None,
    )  # fmt: skip
    return StreamInfo(
        index=0, kind="video", codec=codec, time_base=TIME_BASE, start=None, duration=None,
        frames=0, language=None, dispositions=(), disposition=0, video=video,
    )  # fmt: skip
