"""Frames, and packets, in shared memory: what changes hands by messages.

The memory has no name (``memfd_create``), so nothing is left of it when its processes are gone,
however they went. Its size is sealed: a process that shrank it could kill the one that reads.
What lies here has not passed the gate; it is read by the painting process alone.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.live.wire import WireError

Plane = NDArray[np.uint8]

_SEQUENCE = struct.Struct("<Q")
_HEAD = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
LARGEST = 16384
"""Width and height, at most."""
MOST_SLOTS = 64
PACKET_BYTES = 16 << 20
"""Of packets that are under way: some seconds of a camera, and more than any single one."""
MOST_PACKETS = 128
"""Likewise: their messages must fit into a socket that nobody reads."""


def _sealed(name: str, size: int) -> int:
    """A descriptor of new memory whose size nobody can change."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with _owned(descriptor):
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


@contextmanager
def _owned(descriptor: int) -> Iterator[None]:
    """Whatever goes wrong inside is raised again, and the descriptor is closed before that."""
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


def _mapped(descriptor: int, size: int, what: str) -> mmap.mmap:
    """Memory of another process, if it is as large as it should be and stays so."""
    try:
        if os.fstat(descriptor).st_size != size:
            raise WireError(f"the memory of {what} has another size than it should")
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise WireError(f"the memory of {what} is not sealed")
        return mmap.mmap(descriptor, size)
    except OSError as error:
        raise WireError(f"the memory of {what} cannot be mapped") from error


class Ring:
    """Slots for frames of one size: 8-bit 4:2:0, planes one after the other.

    Args:
        descriptor: of the memory; this object owns it.
        width, height: even, in pixels.
        slots: how many frames it holds.

    Raises:
        WireError: the memory is not as large as that, or its size is not sealed.
    """

    def __init__(self, descriptor: int, width: int, height: int, slots: int) -> None:
        self.descriptor = descriptor
        with _owned(descriptor):
            _check(width, height, slots)
            self.width, self.height, self.slots = width, height, slots
            self._step = _HEAD + width * height * 3 // 2
            self._memory = _mapped(descriptor, self._step * slots, "a ring")

    @classmethod
    def create(cls, width: int, height: int, slots: int) -> Ring:
        """Memory for so many frames.

        Raises:
            WireError: no such size.
        """
        _check(width, height, slots)
        size = (_HEAD + width * height * 3 // 2) * slots
        return cls(_sealed("stream-anon-frames", size), width, height, slots)

    def _begin(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise WireError(f"there is no slot {slot}")
        return slot * self._step

    def _planes(self, slot: int) -> list[Plane]:
        begin = self._begin(slot) + _HEAD
        planes = []
        for width, height in self.sizes:
            flat = np.frombuffer(self._memory, np.uint8, width * height, begin)
            planes.append(flat.reshape(height, width))
            begin += width * height
        return planes

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Width and height of the planes."""
        half = self.width // 2, self.height // 2
        return (self.width, self.height), half, half

    def write(self, slot: int, sequence: int, planes: list[Any]) -> None:
        """Fill a slot that is free.

        Args:
            slot: its number.
            sequence: of the frame; stands in the slot before and after its planes are written.
            planes: (h, w) uint8 each.
        """
        begin = self._begin(slot)
        _SEQUENCE.pack_into(self._memory, begin, sequence)
        _SEQUENCE.pack_into(self._memory, begin + 8, 0)
        for target, source in zip(self._planes(slot), planes, strict=True):
            np.copyto(target, source)
        _SEQUENCE.pack_into(self._memory, begin + 8, sequence)

    def read(self, slot: int, sequence: int, planes: list[Any]) -> bool:
        """Copy a frame out of its slot.

        Args:
            slot, sequence: as the message said.
            planes: (h, w) uint8 each, to be filled.

        Returns:
            Whether it was that frame, and all of it, before and after.

        Raises:
            WireError: there is no such slot.
        """
        before = self._stamp(slot)
        for target, source in zip(planes, self._planes(slot), strict=True):
            np.copyto(target, source)
        return before == self._stamp(slot) == (sequence, sequence)

    @contextmanager
    def lent(self, slot: int, sequence: int) -> Iterator[list[Plane]]:
        """The planes of a slot, in the memory itself; whether they are whole is asked afterwards.

        Raises:
            WireError: there is no such slot.
        """
        planes = self._planes(slot)
        try:
            yield planes
        finally:
            # The memory cannot be closed while anything looks at it.
            planes.clear()

    def is_whole(self, slot: int, sequence: int) -> bool:
        """Whether a slot holds that frame, and all of it.

        Raises:
            WireError: there is no such slot.
        """
        return self._stamp(slot) == (sequence, sequence)

    def _stamp(self, slot: int) -> tuple[int, int]:
        begin = self._begin(slot)
        first = _SEQUENCE.unpack_from(self._memory, begin)[0]
        return first, _SEQUENCE.unpack_from(self._memory, begin + 8)[0]

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if self.descriptor >= 0:
            self._memory.close()
            os.close(self.descriptor)
            self.descriptor = -1


def _check(width: int, height: int, slots: int) -> None:
    sides = all(0 < side <= LARGEST and side % 2 == 0 for side in (width, height))
    if not sides or not 0 < slots <= MOST_SLOTS:
        raise WireError(f"there is no ring of {slots} frames of {width}x{height}")


class PacketRing:
    """Room for packets, for whoever decodes them on a card.

    They lie one after the other and are done with in the same order, so that all there is to keep
    is where the oldest begins.

    Args:
        descriptor: of the memory; this object owns it.

    Raises:
        WireError: the memory has another size than ``PACKET_BYTES``, or its size is not sealed.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._kept: deque[tuple[int, int]] = deque()
        self._end = 0
        with _owned(descriptor):
            self._memory = _mapped(descriptor, PACKET_BYTES, "packets")

    @classmethod
    def create(cls) -> PacketRing:
        """Memory of ``PACKET_BYTES`` bytes."""
        return cls(_sealed("stream-anon-packets", PACKET_BYTES))

    def __len__(self) -> int:
        """Packets that are under way."""
        return len(self._kept)

    def put(self, data: bytes) -> int | None:
        """Write a packet behind the newest; where it begins, or None where there is no room."""
        if len(self._kept) >= MOST_PACKETS or not data:
            return None
        size, begin, end = len(data), self._end, PACKET_BYTES
        if not self._kept:
            begin = 0
        else:
            oldest = self._kept[0][0]
            # The end never meets the oldest again, or full would look like empty.
            if begin <= oldest:
                end = oldest - 1
            elif begin + size > PACKET_BYTES:
                begin, end = 0, oldest - 1
        if begin + size > end:
            return None
        self._memory[begin : begin + size] = data
        self._kept.append((begin, size))
        self._end = begin + size
        return begin

    def done(self) -> bool:
        """The oldest packet was taken; False where there is none."""
        if not self._kept:
            return False
        self._kept.popleft()
        return True

    def read(self, begin: int, size: int) -> bytes:
        """A copy of a packet.

        Raises:
            WireError: there is no such place.
        """
        if not 0 <= begin <= begin + size <= PACKET_BYTES or size < 1:
            raise WireError("a packet lies beyond its memory")
        return self._memory[begin : begin + size]

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if self.descriptor >= 0:
            self._memory.close()
            os.close(self.descriptor)
            self.descriptor = -1
