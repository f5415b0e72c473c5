"""Packets in shared memory: bytes that a camera sent, on their way to where a card decodes them.

As with the frames of ``ring.py`` the memory has no name and its size is sealed. Packets lie one
after the other and are done with in the same order, so that all there is to keep is where the
oldest begins.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections import deque

from stream_anon.live.wire import WireError

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
SIZE = 16 << 20
"""Bytes: some seconds of a camera, and more than any single packet."""
MOST = 128
"""Packets that may be under way: their messages must fit into a socket that nobody reads."""


class PacketRing:
    """Room for packets.

    Args:
        descriptor: of the memory; this object owns it.

    Raises:
        WireError: the memory has another size than ``SIZE``, or its size is not sealed.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._kept: deque[tuple[int, int]] = deque()
        self._end = 0
        try:
            if os.fstat(descriptor).st_size != SIZE:
                raise WireError("the memory of packets has another size than it should")
            if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
                raise WireError("the memory of packets is not sealed")
            self._memory = mmap.mmap(descriptor, SIZE)
        except OSError as error:
            os.close(descriptor)
            raise WireError("the memory of packets cannot be mapped") from error
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def create(cls) -> PacketRing:
        """Memory of ``SIZE`` bytes."""
        descriptor = os.memfd_create("stream-anon-packets", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, SIZE)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return cls(descriptor)

    def __len__(self) -> int:
        """Packets that are under way."""
        return len(self._kept)

    def put(self, data: bytes) -> int | None:
        """Write a packet behind the newest; where it begins, or None where there is no room."""
        if len(self._kept) >= MOST or not data:
            return None
        size, begin, end = len(data), self._end, SIZE
        if not self._kept:
            begin = 0
        else:
            oldest = self._kept[0][0]
            # The end never meets the oldest again, or full would look like empty.
            if begin <= oldest:
                end = oldest - 1
            elif begin + size > SIZE:
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
        if not 0 <= begin <= begin + size <= SIZE or size < 1:
            raise WireError("a packet lies beyond its memory")
        return self._memory[begin : begin + size]

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if self.descriptor >= 0:
            self._memory.close()
            os.close(self.descriptor)
            self.descriptor = -1
