"""A camera's packets on their way to the painting process, which decodes them on a card.

The reader looks at the first picture itself, to know whether it is one for the card. From then on
packets go through shared memory as they came; where the other side is behind, everything up to the
next keyframe is left out, since what follows a hole cannot be decoded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av

from stream_anon.live.clock import TICKS
from stream_anon.live.decoding import CARD, GROUP
from stream_anon.live.ring import PacketRing
from stream_anon.media.pixel_formats import nearest_layout

MOST_HELD = 400
_JPEG_RANGE = 2
_numbers = itertools.count(1)


@dataclass(slots=True)
class First:
    """What the first picture says.

    Attributes:
        width, height: in luma samples.
        why: it is not for the card; None where it is.
    """

    width: int
    height: int
    why: str | None


class Forwarder:
    """Hands on one connection's packets.

    Args:
        stream: ``av.VideoStream``.
        decoder: "nvdec" or "dali".
        size: of the output, (width, height), where it is known.
        send: takes a message and descriptors.

    Attributes:
        why: packets are not, or no longer, for the card; None while they are.
        skipped: packets that were left out.
        begun: packets are being handed on.
        switching: why the reader is to decode from the next keyframe on; None while it is not.
    """

    def __init__(
        self, stream: Any, decoder: str, size: tuple[int, int] | None,
        send: Callable[[dict[str, Any], tuple[int, ...]], None],
    ) -> None:  # fmt: skip
        own = stream.codec_context
        self._codec: str = own.codec.canonical_name
        self._opens: str = own.codec.name
        self._extradata: bytes = bytes(own.extradata or b"")
        self._size, self._send = size, send
        self.why: str | None = None
        if decoder not in CARD.get(self._codec, ()):
            self.why = f"no card decodes {self._codec} here"
        elif decoder == "dali" and self._codec in ("h264", "hevc") and self._extradata[:1] == b"\1":
            self.why = f"DALI is given {self._codec} as RTSP and MPEG-TS carry it"
        self.skipped = 0
        self.begun = False
        self.switching: str | None = None
        self.form: dict[str, Any] = {}
        self._gop_limit = round(GROUP * TICKS) if decoder == "dali" else None
        self._key: int | None = None
        self._held: list[Any] = []
        self._peek: Any = None
        self._ring: PacketRing | None = None
        self._number = 0
        self._leaving_out = False

    def peek(self, packet: Any) -> First | None:
        """Hold a packet until a picture has come; what it says.

        Packets before the first keyframe are dropped: nothing could be made of them.
        """
        if not self._held and not packet.is_keyframe:
            self.skipped += 1
            return None
        if self._peek is None:
            self._peek = av.CodecContext.create(self._opens, "r")
            if self._extradata:
                self._peek.extradata = self._extradata
            self._peek.thread_count = 1
        self._held.append(packet)
        try:
            found = self._peek.decode(packet)
        except av.FFmpegError:
            found = []
        if not found and len(self._held) <= MOST_HELD:
            return None
        self._peek = None
        if not found:
            self.why = f"no picture in {MOST_HELD} packets"
            return First(0, 0, self.why)
        shown = found[0]
        self.why = self._unfit(shown)
        self.form = {"pix_fmt": shown.format.name, "interlaced": bool(shown.interlaced_frame)}
        return First(shown.width, shown.height, self.why)

    def _unfit(self, shown: Any) -> str | None:
        size = shown.width, shown.height
        if nearest_layout(shown.format) != "yuv420p" or shown.format.name != "yuv420p":
            return f"frames of {shown.format.name} are brought into form by the CPU"
        if shown.color_range == _JPEG_RANGE:
            return "frames of full range are brought into form by the CPU"
        if size[0] % 2 or size[1] % 2 or min(size) < 64:
            return "frames of such sizes are brought into form by the CPU"
        if self._size is not None and size != self._size:
            return "frames of another size than the output's are brought into form by the CPU"
        return None

    def begin(self, form: dict[str, Any]) -> None:
        """The first picture is for the card: hand on what was held."""
        self.form |= form
        self.begun = True
        self._announce()
        held, self._held = self._held, []
        for packet in held:
            self.pass_on(packet)

    def take_held(self) -> list[Any]:
        """What was held, for whoever decodes instead."""
        held, self._held = self._held, []
        return held

    def pass_on(self, packet: Any) -> None:
        """Hand on a packet."""
        if packet.has_sidedata("new_extradata"):
            # What no packet says of itself would be lost on the way.
            self.switching = "the stream is described anew"
        if packet.is_keyframe:
            self._key = packet.dts
        elif self._gop_limit and packet.dts - (self._key or packet.dts) > self._gop_limit:
            self.switching = f"a group of pictures is longer than {GROUP:g} s"
        if self._leaving_out:
            if not packet.is_keyframe or (self._ring is not None and len(self._ring)):
                self.skipped += 1
                return
            self._leaving_out = False
            self._announce()
        data = bytes(packet)
        place = None if self._ring is None else self._ring.put(data)
        if place is None:
            self.skipped += 1
            self._leaving_out = True
            self._send({"type": "gap", "reason": "left out"}, ())
            return
        self._send(
            {
                "type": "packet", "at": place, "size": len(data), "pts": packet.pts,
                "dts": packet.dts, "key": bool(packet.is_keyframe),
                "corrupt": bool(packet.is_corrupt), "memory": self._number,
            }, (),
        )  # fmt: skip

    def _announce(self) -> None:
        if self._ring is not None:
            self._ring.close()
        self._ring, self._number = PacketRing.create(), next(_numbers)
        told = {
            "type": "coded", "codec": self._codec, "extradata": self._extradata.hex(),
            "memory": self._number,
        }  # fmt: skip
        self._send(told | self.form, (self._ring.descriptor,))

    def done(self, memory: Any) -> None:
        """The painting process has taken a packet out of this memory."""
        if self._ring is not None and memory == self._number:
            self._ring.done()

    def begin_anew(self) -> None:
        """Another painting process is there: it is told of everything at the next keyframe."""
        if self.begun:
            self._leaving_out = True
            self.close()

    def close(self) -> None:
        """Let go of the memory."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
