"""A server of RTMP (Adobe's specification 1.0) that plays the scene to whoever asks: handshake,
three commands, and FLV tags as messages.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from fractions import Fraction

import av

from stream_anon.live.output.targets import Template
from tests.live import scene
from tests.live.peers.listener import Listener

CHUNK = 128
"""Bytes of a chunk before anybody says otherwise."""
HEADERS = (11, 7, 3, 0)


def text(value: str) -> bytes:
    return b"\x02" + struct.pack(">H", len(value)) + value.encode()


def number(value: float) -> bytes:
    return b"\x00" + struct.pack(">d", value)


def mapping(**values: str) -> bytes:
    parts = (struct.pack(">H", len(k)) + k.encode() + text(v) for k, v in values.items())
    return b"\x03" + b"".join(parts) + b"\x00\x00\x09"


class Tags:
    """What FFmpeg's FLV muxer writes, cut into (type, milliseconds, data)."""

    def __init__(self) -> None:
        self._data = b""
        self._begun = False

    def write(self, data: bytes) -> int:
        self._data += bytes(data)
        return len(data)

    def take(self) -> list[tuple[int, int, bytes]]:
        if not self._begun and len(self._data) >= 13:
            self._data, self._begun = self._data[13:], True
        found = []
        while self._begun and len(self._data) >= 11:
            size = int.from_bytes(self._data[1:4], "big")
            if len(self._data) < 15 + size:
                break
            stamp = int.from_bytes(self._data[7:8] + self._data[4:7], "big")
            found.append((self._data[0], stamp, self._data[11 : 11 + size]))
            self._data = self._data[15 + size :]
        return found


class Server(Listener):
    """Plays to as many as come.

    Attributes:
        asked: what was asked for, application and stream of each player.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as file, contextlib.suppress(OSError, EOFError):
            hello = _exactly(file, 1537)
            client.sendall(b"\x03" + b"\0" * 1536 + hello[1:])
            _exactly(file, 1536)
            for name, call in _commands(file):
                if name == "connect":
                    self.asked.append("connect")
                    _send(client, 20, 0, 0, text("_result") + number(call) + mapping(
                        fmsVer="FMS/3,0", level="status", code="NetConnection.Connect.Success",
                    ))  # fmt: skip
                elif name == "createStream":
                    _send(client, 20, 0, 0, text("_result") + number(call) + b"\x05" + number(1))
                elif name == "play":
                    self.asked.append("play")
                    status = mapping(level="status", code="NetStream.Play.Start")
                    _send(client, 20, 1, 0, text("onStatus") + number(0) + b"\x05" + status)
                    self._play(client)

    def _play(self, client: socket.socket) -> None:
        tags = Tags()
        flv = av.open(tags, "w", format="flv", options={"flvflags": "no_duration_filesize"})
        frames = scene.encoded(320, 240)
        template = Template(frames[0][0], scene.RATE)
        stream = template.add_to(flv)
        flv.start_encoding()
        began, index = time.monotonic(), 0
        while True:
            time.sleep(max(0.0, began + index / scene.RATE - time.monotonic()))
            data, key = frames[index % len(frames)]
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 90000)
            packet.pts = packet.dts = index * 90000 // scene.RATE
            packet.is_keyframe = key
            flv.mux_one(packet)
            for kind, stamp, payload in tags.take():
                _send(client, kind, 1, stamp, payload)
            index += 1


def _exactly(file, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _commands(file):
    """Names and numbers of the commands that a client sends."""
    size, known = CHUNK, {}
    while True:
        first = _exactly(file, 1)[0]
        kind, line = first >> 6, first & 63
        header = _exactly(file, HEADERS[kind])
        length, what, so_far = known.get(line, (0, 0, b""))
        if kind < 2:
            length, what = int.from_bytes(header[3:6], "big"), header[6]
        so_far += _exactly(file, min(size, length - len(so_far)))
        known[line] = (length, what, so_far)
        if len(so_far) < length:
            continue
        known[line] = (length, what, b"")
        if what == 1:
            size = int.from_bytes(so_far, "big")
        if what == 20:
            end = 3 + int.from_bytes(so_far[1:3], "big")
            yield so_far[3:end].decode(), struct.unpack(">d", so_far[end + 1 : end + 9])[0]


def _send(client: socket.socket, kind: int, stream: int, stamp: int, payload: bytes) -> None:
    """One message, in chunks."""
    head = b"\x05" + stamp.to_bytes(3, "big") + len(payload).to_bytes(3, "big") + bytes([kind])
    out = head + stream.to_bytes(4, "little")
    for begin in range(0, len(payload), CHUNK):
        out += (b"\xc5" if begin else b"") + payload[begin : begin + CHUNK]
    client.sendall(out)
