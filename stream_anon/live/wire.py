"""Messages between our own processes: JSON, bytes and file descriptors over a socket pair.

No pickle: a reader parses what a network sends it, and must not be able to make the others run
anything.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from stream_anon.errors import Fault

_HEAD: Final = struct.Struct("<III")
_MOST_FDS: Final = 4
LARGEST: Final = 64 << 20
"""Bytes of one message."""


class WireError(Fault):
    """A message was no message; whoever sent it is not trusted any further."""


@dataclass(slots=True)
class Message:
    """What was sent.

    Attributes:
        data: with a ``type``.
        blob: bytes that go with it.
        fds: descriptors that go with it; they belong to the receiver.
    """

    data: dict[str, Any]
    blob: bytes = b""
    fds: list[int] = field(default_factory=list)

    @property
    def type(self) -> str:
        """What kind of message it is."""
        return str(self.data.get("type", ""))


class Wire:
    """One end of a socket pair; one thread sends and one thread receives.

    Args:
        end: a connected stream socket of the Unix family.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.setblocking(False)
        self._buffer = bytearray()
        self._fds: deque[int] = deque()
        self._ended = False

    @classmethod
    def pair(cls) -> tuple[Wire, socket.socket]:
        """A wire and the other end of it, to be given away."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(here), there

    @classmethod
    def of(cls, descriptor: int) -> Wire:
        """A wire of a descriptor that was received."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    @property
    def ended(self) -> bool:
        """The other side has gone, and all that it sent was received."""
        return self._ended

    def send(
        self,
        data: dict[str, Any],
        blob: bytes = b"",
        fds: tuple[int, ...] = (),
        timeout: float | None = None,
    ) -> bool:
        """Send a message; the descriptors stay the sender's.

        Args:
            data: of JSON's kinds, with a ``type``.
            blob: bytes beside it.
            fds: at most four.
            timeout: seconds until what cannot be sent is an error; None waits for ever.

        Returns:
            False where the other side has gone.

        Raises:
            WireError: the other side takes nothing for ``timeout``: half a message may be under
                way, so that the wire is of no more use.
        """
        text = json.dumps(data, separators=(",", ":")).encode()
        head = _HEAD.pack(len(text), len(blob), len(fds)) + text
        until = None if timeout is None else time.monotonic() + timeout
        rest = memoryview(head + blob if len(blob) < 1 << 16 else head)
        try:
            rest = rest[self._first(rest, fds, until) :]
            self._all(rest, until)
            if len(blob) >= 1 << 16:
                self._all(memoryview(blob), until)
        except (BrokenPipeError, ConnectionResetError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise WireError("the other process takes no messages") from None
            self._ended = True
            return False
        return True

    def _first(self, rest: memoryview, fds: tuple[int, ...], until: float | None) -> int:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        while True:
            try:
                return self._socket.sendmsg([rest], rights)
            except BlockingIOError:
                self._wait(until)

    def _all(self, rest: memoryview, until: float | None) -> None:
        while len(rest):
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                self._wait(until)

    def _wait(self, until: float | None) -> None:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        poll.poll(None if left is None else left * 1000)

    def receive(self, timeout: float | None = 0.0) -> Message | None:
        """The next message; None where none comes within ``timeout`` seconds, or none will.

        Raises:
            WireError: what came is no message.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            if (message := self._parsed()) is not None:
                return message
            if self._ended:
                return None
            left = None if until is None else max(0.0, until - time.monotonic())
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(None if left is None else left * 1000):
                return None
            self._read()

    def _read(self) -> None:
        room = socket.CMSG_SPACE(_MOST_FDS * array.array("i").itemsize)
        try:
            data, rights, _, _ = self._socket.recvmsg(1 << 16, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, rights = b"", []
        for level, kind, packed in rights:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(packed[: len(packed) - len(packed) % numbers.itemsize])
                self._fds.extend(numbers)
        self._ended = not data
        self._buffer += data

    def _parsed(self) -> Message | None:
        if len(self._buffer) < _HEAD.size:
            return None
        size, more, count = _HEAD.unpack_from(self._buffer)
        whole = _HEAD.size + size + more
        if whole > LARGEST or count > _MOST_FDS:
            raise WireError("a message is too large")
        if len(self._buffer) < whole:
            return None
        with memoryview(self._buffer) as view:
            text = bytes(view[_HEAD.size : _HEAD.size + size])
            blob = bytes(view[_HEAD.size + size : whole])
        del self._buffer[:whole]
        if len(self._fds) < count:
            raise WireError("a message came without its descriptors")
        fds = [self._fds.popleft() for _ in range(count)]
        try:
            data = json.loads(text)
        except ValueError as error:
            raise WireError("a message is no JSON") from error
        if not isinstance(data, dict):
            raise WireError("a message is no mapping")
        return Message(data, blob, fds)

    def close(self) -> None:
        """Let go of the socket and of descriptors that nobody took; safe to call twice."""
        self._ended = True
        with contextlib.suppress(OSError):
            # Wakes a thread of ours that waits for it.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        while self._fds:
            os.close(self._fds.popleft())
