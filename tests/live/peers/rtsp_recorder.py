"""A media server that takes a published stream (RTSP's RECORD, RFC 2326) and asks for a login."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket

from tests.live.peers.listener import Listener

NONCE = "dcd98b7102dd2f0e"
REALM = "server"


class Recorder(Listener):
    """Accepts publishers that know the password, and counts what they send.

    Args:
        user, password: that are asked for.
        kind: "Basic" or "Digest".

    Attributes:
        packets: RTP packets that came.
        refused: requests without the right login.
        told: everything that publishers said but the packets.
    """

    def __init__(self, user: str, password: str, kind: str) -> None:
        self._user, self._password, self._kind = user, password, kind
        self.packets = self.refused = 0
        self.told = b""
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as file, contextlib.suppress(OSError):
            while first := file.read(1):
                if first == b"$":
                    head = file.read(3)
                    file.read(int.from_bytes(head[1:3], "big"))
                    self.packets += head[0] == 0
                    continue
                lines = [(first + file.readline()).decode().strip()]
                while line := file.readline().decode().strip():
                    lines.append(line)
                fields = dict(re.split(r":\s*", line, maxsplit=1) for line in lines[1:])
                body = file.read(int(fields.get("Content-Length", "0")))
                self.told += "\n".join(lines).encode() + body
                client.sendall(self._answer(lines[0], fields).encode())

    def _answer(self, request: str, fields: dict[str, str]) -> str:
        verb, url = request.split()[:2]
        answer = [f"CSeq: {fields.get('CSeq', '0')}", "Session: 1"]
        status = "200 OK"
        if verb != "OPTIONS" and not self._allowed(verb, url, fields.get("Authorization", "")):
            self.refused += 1
            status = "401 Unauthorized"
            nonce = f', nonce="{NONCE}"' if self._kind == "Digest" else ""
            answer.append(f'WWW-Authenticate: {self._kind} realm="{REALM}"{nonce}')
        elif verb == "OPTIONS":
            answer.append("Public: OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN")
        elif verb == "SETUP":
            answer.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record")
        return "\r\n".join([f"RTSP/1.0 {status}", *answer, "", ""])

    def _allowed(self, verb: str, url: str, shown: str) -> bool:
        if self._kind == "Basic":
            known = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
            return shown == f"Basic {known}"
        given = dict(re.findall(r'(\w+)="([^"]*)"', shown))
        return given.get("response") == _md5(
            _md5(f"{self._user}:{REALM}:{self._password}"), NONCE,
            _md5(f"{verb}:{given.get('uri', url)}"),
        )  # fmt: skip


def _md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
