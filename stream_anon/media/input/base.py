"""The contract of what frames come from.

Held by one suite of tests over all sources: frames of a stream come in presentation order with
times that grow, whatever gaps lie between them; what is copied comes between them in the order of
the container.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Self

from stream_anon.media.frame import Frame
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.packets import Gap, Packet


class Source(ABC):
    """Frames and packets of one input, in demux order.

    Attributes:
        info: what the input is, before the first frame is read; with templates of the streams
            whose packets can be copied.
        live: it goes on whether anybody reads or not: nobody may make it wait, frames may be
            dropped, and after a ``Gap`` their size and format may be others. It can be read
            once. Where this is False there are no gaps, and reading twice gives the same.
        lost: packets that could not be decoded, in the last iteration.
        repaired: frames whose time was missing or did not grow, in the last iteration.
        spliced: places at which the clock ran back; what follows was moved behind what was before.
        decoded_by: what decoded each stream of frames, in words, once it was read.
        conceals: streams of which frames were decoded by hardware that does not tell of damage
            inside a slice, likewise.
    """

    info: MediaInfo
    live: bool = False
    lost: int = 0
    repaired: int = 0
    spliced: int = 0
    decoded_by: Mapping[int, str] = MappingProxyType({})
    conceals: Collection[int] = ()

    @abstractmethod
    def __iter__(self) -> Iterator[Frame | Packet | Gap]:
        """Read from the beginning.

        Raises:
            InputError: the input breaks while it is read.
            FrameFault: the size or pixel format of the frames changed without a gap.
        """

    @abstractmethod
    def select(self, copied: Collection[int]) -> None:
        """Choose the streams whose packets are yielded, from the next iteration on."""

    def start_digest(self) -> None:  # noqa: B027 - what is no file has nothing to hash
        """Begin to hash the input, beside reading it."""

    def digest(self) -> tuple[int, str] | None:
        """Bytes and SHA-256 of the input as it was read; None for what is no file.

        Raises:
            InputError: the input has changed since it was opened.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of the input; safe to call twice."""

    def frames(self) -> Iterator[Frame]:
        """The frames alone."""
        for item in self:
            if isinstance(item, Frame):
                yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
