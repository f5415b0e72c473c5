"""What a source hands on beside frames: packets that are copied, and gaps."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import av


class StreamTemplate:
    """Codec parameters of a stream that is copied; they outlive what they were read from.

    Whoever writes the stream needs nothing else of its input, be it a file or a camera.

    Args:
        stream: ``av.stream.Stream`` of an open container.

    Raises:
        ValueError: the stream has no codec that FFmpeg knows.
    """

    def __init__(self, stream: Any) -> None:
        if stream.codec_context is None:
            raise ValueError(f"stream {stream.index} has no codec")
        # FFmpeg's structure for them lives in a container only; this one takes any codec and is
        # never written to.
        self._holder = av.open(io.BytesIO(), "w", format="null")
        self._stream: Any = self._holder.add_stream_from_template(stream)

    @property
    def private_data(self) -> bytes | None:
        """The codec's header as the container stored it; it may hold comments."""
        data: bytes | None = self._stream.codec_context.extradata
        return data

    def add_to(self, output: Any, private_data: bytes | None) -> Any:
        """A stream like this one in an ``av.container.OutputContainer``.

        Args:
            output: nothing was written to it yet.
            private_data: in the place of the template's own.

        Raises:
            ValueError: its format cannot hold the codec.
        """
        out = output.add_stream_from_template(self._stream)
        if private_data != self.private_data:
            out.codec_context.extradata = private_data
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """A packet that goes to the output as it is.

    Attributes:
        stream: index of its stream in the source.
        data: ``av.Packet``, with times on the output's time line.
        template: of its stream, the same for all its packets, as ``StreamInfo.template``.
    """

    stream: int
    data: Any
    template: StreamTemplate | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """The frames of a stream break off here, and what comes next may show something else.

    All tracks of the stream end; the next frame is as after a cut. From a live source it may have
    another size or pixel format.

    Attributes:
        stream: index of the video stream.
        reason: in a few words, one of a few (it is counted): ``reconnected``, ``size changed``.
            Never an address.
    """

    stream: int
    reason: str
