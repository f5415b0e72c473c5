"""Whether a camera that went away is there again: asked often, since asking is cheap.

A try to open takes as long as its time limit where nothing answers, and is made rarely where
something answers wrongly, so that no camera locks an account. A camera that is away is therefore
asked by a short connection that carries no name and no password, and opened when it answers.
"""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Who serves many. A sender of MPEG-TS or RTMP may take one connection, which is not for asking."""
ANSWER = 1.0
"""Seconds within which whoever is there answers."""
BETWEEN = 0.25
"""Seconds between two questions, about."""
LONGEST = 10.0
"""Seconds after which a try is made although nothing has answered: some cameras answer nothing
but what they expect."""
_SYSTEM = random.SystemRandom()


def can_ask(url: str) -> bool:
    """Whether there is something to ask at this address."""
    return urlsplit(url).scheme.lower() in PORTS


def answers(url: str, timeout: float = ANSWER) -> bool:
    """Whether somebody at this address answers a question that needs no login.

    One that hangs up on it is there, too: only silence, and a refusal to be connected, are none.

    Args:
        url: of one of ``PORTS``; neither its path nor its login is sent.
        timeout: seconds for all of it.
    """
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), parts.hostname or ""
        port = parts.port or PORTS[scheme]
        rtsp = scheme.startswith("rtsp")
        version = "RTSP/1.0\r\nCSeq: 1" if rtsp else f"HTTP/1.1\r\nHost: {host}"
        question = f"OPTIONS * {version}\r\nUser-Agent: stream-anon\r\nConnection: close\r\n\r\n"
        until = time.monotonic() + timeout
        line = socket.create_connection((host, port), timeout)
    except (OSError, ValueError):
        return False
    with contextlib.ExitStack() as stack:
        stack.callback(line.close)
        try:
            if scheme in ("rtsps", "https"):
                # Whom it belongs to is asked when it is opened; here nothing is told.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                line.settimeout(max(0.05, until - time.monotonic()))
                line = stack.enter_context(context.wrap_socket(line))
            line.settimeout(max(0.05, until - time.monotonic()))
            line.sendall(question.encode())
            line.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True
    return True


def wait(
    url: str,
    seconds: float,
    stopping: threading.Event,
    beat: Callable[[], None],
    ask: Callable[[str], bool] = answers,
) -> int:
    """Wait until it is worth while to open an address again.

    Args:
        url: the address.
        seconds: until the next try where it answers, as it may have all the time.
        stopping: ends the wait.
        beat: called again and again.
        ask: whether it answers.

    Returns:
        How often nothing answered.
    """
    began, unanswered = time.monotonic(), 0
    while can_ask(url) and not stopping.is_set():
        beat()
        if ask(url):
            if unanswered:
                # It was away and is back.
                return unanswered
            break
        unanswered += 1
        if time.monotonic() - began > LONGEST:
            return unanswered
        stopping.wait(BETWEEN * (0.7 + 0.6 * _SYSTEM.random()))
    stopping.wait(max(0.0, began + seconds - time.monotonic()))
    return unanswered
