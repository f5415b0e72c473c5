"""The page, the metrics and the health checks: a small ASGI application.

Everything but ``/healthz`` and ``/readyz``, which tell nothing, needs the token where there is one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import html
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from stream_anon.errors import UsageError
from stream_anon.live.operation.metrics import CONTENT_TYPE, Metrics
from stream_anon.live.operation.status import Status
from stream_anon.live.secret import Secret

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem;background:#14171a;color:#e4e7ea}
h1{font-size:1.2rem}main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr))}
article{background:#1e2327;border-radius:.5rem;padding:.8rem}h2{font-size:1rem;margin:0 0 .5rem}
img{width:100%;border-radius:.3rem;background:#000;object-fit:contain}
table{border-collapse:collapse;width:100%}td{padding:.1rem 0}td+td{text-align:right}
.up{color:#7fd18b}.down{color:#f0a35e}
"""
Endpoint = Callable[[Request], Awaitable[Response]]


class Page:
    """Serves the application in a thread.

    Args:
        status: what is shown.
        listen: address and port.
        token: what callers must show, or None.
        preview: whether pictures are shown.
        hls: folders of HLS streams, by camera.

    Raises:
        UsageError: the address cannot be listened on.
    """

    def __init__(
        self,
        status: Status,
        listen: str,
        token: Secret | None,
        preview: bool,
        hls: dict[str, Path] | None = None,
    ) -> None:
        self._status, self._token, self._preview = status, token, preview
        self._hls = hls or {}
        self._metrics = Metrics(status)
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, int(port)))
            self._socket.listen(64)
        except OSError as error:
            self._socket.close()
            why = error.strerror or str(error)
            raise UsageError(f"page.listen {listen}: {why.lower()}") from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self.application(), log_config=None, access_log=False, lifespan="off",
            server_header=False, limit_concurrency=64, timeout_keep_alive=5,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="page", daemon=True
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End; safe to call twice."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._socket.close()

    def application(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/readyz", self._ready),
                Route("/", self._guarded(self._index)),
                Route("/metrics", self._guarded(self._scraped)),
                Route("/status.json", self._guarded(self._json)),
                Route("/preview/{camera}.jpg", self._guarded(self._picture)),
                Route("/hls/{camera}/{file}", self._guarded(self._segment)),
            ]
        )

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            if not self._may(request):
                return Response(
                    "a token is needed\n", 401,
                    {**HEADERS, "WWW-Authenticate": 'Basic realm="stream-anon"'},
                )  # fmt: skip
            response = await endpoint(request)
            response.headers.update(HEADERS)
            return response

        return answer

    def _may(self, request: Request) -> bool:
        if self._token is None:
            # Another site's page that a browser shows must not read this one by a name of its own.
            host = request.headers.get("host", "").rpartition(":")[0].strip("[]")
            return host in ("127.0.0.1", "localhost", "::1")
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given.encode(), self._token.reveal().encode())

    async def _health(self, request: Request) -> Response:
        alive = self._status.alive()
        return PlainTextResponse("ok\n" if alive else "no painter\n", 200 if alive else 503)

    async def _ready(self, request: Request) -> Response:
        ready = self._status.ready()
        return PlainTextResponse("ready\n" if ready else "not ready\n", 200 if ready else 503)

    async def _scraped(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def _json(self, request: Request) -> Response:
        return JSONResponse(self._status.snapshot())

    async def _picture(self, request: Request) -> Response:
        shown = self._status.picture(request.path_params["camera"]) if self._preview else None
        if shown is None:
            return PlainTextResponse("no picture yet\n", 404)
        return Response(shown, media_type="image/jpeg")

    async def _segment(self, request: Request) -> Response:
        folder = self._hls.get(request.path_params["camera"])
        name: str = request.path_params["file"]
        kinds = {".m3u8": "application/vnd.apple.mpegurl", ".m4s": "video/mp4", ".mp4": "video/mp4"}
        kind = kinds.get(Path(name).suffix)
        if folder is None or kind is None or Path(name).name != name:
            return PlainTextResponse("there is no such stream\n", 404)
        try:
            return Response((folder / name).read_bytes(), media_type=kind)
        except OSError:
            return PlainTextResponse("there is no such file\n", 404)

    async def _index(self, request: Request) -> Response:
        cards = [self._card(name, one) for name, one in self._status.snapshot().items()]
        return HTMLResponse(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta http-equiv="refresh" content="2"><title>stream-anon live</title>'
            f"<style>{STYLE}</style></head><body><h1>stream-anon live</h1>"
            f"<main>{''.join(cards)}</main></body></html>"
        )

    def _card(self, name: str, one: dict[str, Any]) -> str:
        reader, painter = one["reader"], one["painter"]
        running = one["running"]
        state = "running" if running else str(reader.get("state") or "starting")
        left = ((reader, "skipped"), (painter, "left_out"), (painter, "overload_dropped"))
        rows: list[tuple[str, object]] = [
            ("frames in", painter.get("frames_in", 0)),
            ("frames out", painter.get("frames_out", 0)),
            ("of these slates", painter.get("slates", 0)),
            ("left out", sum(part.get(key) or 0 for part, key in left)),
            ("covered whole", sum((painter.get("stepped_down") or {}).values())),
            ("connections lost", reader.get("failures", 0)),
            ("overload step", f"{painter.get('level', 0)} of {painter.get('steps', 0)}"),
        ]
        rows += [
            (f"output {output}", counters.get("state", "starting"))
            for output, counters in one["outputs"].items()
        ]
        table = "".join(
            f"<tr><td>{html.escape(key)}</td><td>{html.escape(str(value))}</td></tr>"
            for key, value in rows
        )
        shown = html.escape(name)
        picture = ""
        if self._preview:
            self._status.picture(name)
            picture = f'<img src="/preview/{shown}.jpg" alt="anonymized picture of {shown}">'
        kind = "up" if running else "down"
        return (
            f'<article id="{shown}"><h2>{shown} <span class="{kind}">{html.escape(state)}</span>'
            f"</h2>{picture}<table>{table}</table></article>"
        )
