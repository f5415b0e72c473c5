"""A camera on the loopback: RTSP (RFC 2326) with the faults that cameras have.

RTP packets come from FFmpeg's own packetizer; the rest is a few lines of text.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from fractions import Fraction

import av

from tests.live import scene


class _Packets:
    """What FFmpeg's RTP muxer writes, one packet a call."""

    def __init__(self) -> None:
        self.out: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.out.append(bytes(data))
        return len(data)


class Camera:
    """A server that plays the scene in real time to whoever asks.

    Attributes:
        stalled: nothing is sent, connections stay.
        silent: connections are accepted and nothing is answered.
        lose: one of so many RTP packets is left out; 0 for none.
        size: of the picture; a change shows at the next frame.
        codec: of connections that begin from now on, "h264" or "hevc".
        rate: frames a second from now on.
        stamp: gives a frame's time stamp in seconds for its running number; None: as it is sent.
        login: user and password that are asked for, or None.
        sent: monotonic seconds at which each frame's number was last sent.
        sessions: how many clients have played.
    """

    def __init__(
        self, width: int = 320, height: int = 240, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self.stalled = self.silent = False
        self.lose = 0
        self.size = width, height
        self.codec, self.rate = "h264", float(scene.RATE)
        self.stamp: Callable[[int], float] | None = None
        self.login: tuple[str, str] | None = None
        self.sent: dict[int, float] = {}
        self.sessions = 0
        self.port = port
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._running = threading.Event()
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp{'s' if self._tls else ''}://127.0.0.1:{self.port}/1"

    def start(self) -> None:
        """Listen, on the port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(16)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._running.set()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Go away: the port is closed, and so is every connection."""
        self._running.clear()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.kick()

    def kick(self) -> None:
        """Close every connection; the port stays open."""
        with self._lock:
            clients, self._clients = self._clients, set()
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while self._running.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            self._talk(client)
        with self._lock:
            self._clients.discard(client)
        client.close()

    def _talk(self, client: socket.socket) -> None:
        file = client.makefile("rb")
        way: tuple[str, int] = ("tcp", 0)
        ended = threading.Event()
        lock = threading.Lock()
        udp: socket.socket | None = None
        try:
            while True:
                first = file.read(1)
                if not first:
                    return
                if first == b"$":
                    head = file.read(3)
                    file.read(int.from_bytes(head[1:3], "big"))
                    continue
                lines = [(first + file.readline()).decode().strip()]
                while line := file.readline().decode().strip():
                    lines.append(line)
                while self.silent:
                    time.sleep(0.05)
                verb = lines[0].split()[0]
                fields = dict(re.split(r":\s*", line, maxsplit=1) for line in lines[1:])
                number = fields.get("CSeq", "0")
                answer, body = [f"CSeq: {number}", "Session: 12345678;timeout=60"], b""
                status = "200 OK"
                if not self._allowed(fields.get("Authorization", "")) and verb != "OPTIONS":
                    status = "401 Unauthorized"
                    answer.append('WWW-Authenticate: Basic realm="camera"')
                elif verb == "OPTIONS":
                    answer.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
                elif verb == "DESCRIBE":
                    body = self._description()
                    answer += ["Content-Type: application/sdp", f"Content-Base: {self.url}/"]
                elif verb == "SETUP":
                    wanted = fields["Transport"]
                    ports = re.search(r"client_port=(\d+)", wanted)
                    if "TCP" in wanted:
                        answer.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
                    elif ports:
                        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        udp.bind(("127.0.0.1", 0))
                        way = ("udp", int(ports.group(1)))
                        own = udp.getsockname()[1]
                        answer.append(
                            f"Transport: RTP/AVP;unicast;client_port={way[1]}-{way[1] + 1};"
                            f"server_port={own}-{own + 1}"
                        )
                elif verb == "PLAY":
                    self.sessions += 1
                text = "\r\n".join([f"RTSP/1.0 {status}", *answer, f"Content-Length: {len(body)}"])
                with lock:
                    client.sendall(text.encode() + b"\r\n\r\n" + body)
                if verb == "PLAY" and status.startswith("200"):
                    args = (client, udp, way, ended, lock)
                    threading.Thread(target=self._play, args=args, daemon=True).start()
                if verb == "TEARDOWN":
                    return
        finally:
            ended.set()
            file.close()
            if udp is not None:
                udp.close()

    def _allowed(self, shown: str) -> bool:
        if self.login is None:
            return True
        return shown == "Basic " + base64.b64encode(":".join(self.login).encode()).decode()

    def _description(self) -> bytes:
        first = scene.encoded(*self.size, codec=self.codec)[0][0]
        units = [unit for unit in re.split(rb"\x00\x00\x00?\x01", first) if unit]
        if self.codec == "h264":
            sets = [unit for unit in units if unit[0] & 31 in (7, 8)]
            shown = ",".join(base64.b64encode(unit).decode() for unit in sets)
            kind, more = "H264", f"packetization-mode=1;sprop-parameter-sets={shown}"
        else:
            names = {32: "vps", 33: "sps", 34: "pps"}
            sets = [(names.get(unit[0] >> 1 & 63), unit) for unit in units]
            kind, more = "H265", ";".join(
                f"sprop-{name}={base64.b64encode(unit).decode()}" for name, unit in sets if name
            )
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {kind}/90000\r\na=fmtp:96 {more}\r\n"
            f"a=framerate:{self.rate:g}\r\na=control:track0\r\n"
        ).encode()

    def _play(self, client, udp, way, ended, lock) -> None:
        packets = _Packets()
        with contextlib.suppress(OSError):
            muxer = av.open(packets, "w", format="rtp", options={"packetsize": "1200"})
            stream = muxer.add_mux_stream(self.codec, rate=scene.RATE, width=320, height=240)
            stream.time_base = Fraction(1, 90000)
            self._send_all(client, udp, way, ended, lock, packets, muxer, stream)

    def _send_all(self, client, udp, way, ended, lock, packets, muxer, stream) -> None:
        began, index, count = time.monotonic(), 0, 0
        codec, seconds = self.codec, 0.0
        size = None
        last = None
        while not ended.is_set() and self._running.is_set():
            seconds += 1 / self.rate
            pause = began + seconds - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            if self.stalled:
                index += 1
                continue
            loop = scene.encoded(*self.size, codec=codec)
            data, key = loop[index % scene.FRAMES]
            if size != self.size:
                # Another picture begins at a keyframe.
                if not key:
                    index += 1
                    continue
                size = self.size
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 90000)
            stamp = round((seconds if self.stamp is None else self.stamp(index)) * 90000)
            packet.pts = packet.dts = stamp
            packet.is_keyframe = key
            if last is not None and stamp <= last:
                # The muxer refuses what cameras do: the stamps are put in by hand.
                packet.pts = packet.dts = last + 1
            last = packet.pts
            muxer.mux_one(packet)
            self.sent[index % scene.FRAMES] = time.monotonic()
            index += 1
            for one in packets.out:
                rtcp = 192 <= one[1] <= 223
                if not rtcp:
                    count += 1
                    one = one[:4] + (stamp & 0xFFFFFFFF).to_bytes(4, "big") + one[8:]
                    if self.lose and count % self.lose == 0:
                        continue
                if way[0] == "udp":
                    if not rtcp:
                        udp.sendto(one, ("127.0.0.1", way[1]))
                else:
                    head = b"$" + bytes([1 if rtcp else 0]) + len(one).to_bytes(2, "big")
                    with lock:
                        client.sendall(head + one)
            packets.out.clear()
