"""Log lines of a run: for people or one JSON object each, free of credentials."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TextIO

from stream_anon.live.secret import redacted

LEVELS = ("debug", "info", "warning", "error", "critical")
LONGEST = 2000


class Lines:
    """Writes lines to a stream.

    Args:
        form: "text" or "json".
        level: the least that is written.
        secrets: gives the texts that no line may hold.
        stream: None takes standard error.
    """

    def __init__(
        self,
        form: str,
        level: str,
        secrets: Callable[[], Iterable[str]],
        stream: TextIO | None = None,
    ) -> None:
        self._json = form == "json"
        self._least = LEVELS.index(level)
        self._secrets = secrets
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, level: str, text: str) -> None:
        """Write a line; where nobody takes it, go on."""
        if LEVELS.index(level) < self._least:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = redacted(" ".join(text.split()), self._secrets())[:LONGEST]
        if self._json:
            line = json.dumps({"time": now, "level": level, "message": text})
        else:
            line = f"{now} {level:7} {text}"
        with self._lock:
            try:
                print(line, file=self._stream or sys.stderr, flush=True)
            except (OSError, ValueError):
                return
