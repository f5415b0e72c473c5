"""What FFmpeg says of an address, and what it lacks for it."""

from __future__ import annotations

import av

from stream_anon.live.secret import scheme_of


def lacking(error: BaseException, url: str) -> str | None:
    """In words where FFmpeg does not know this kind of address at all; None for other errors.

    PyAV's wheels come without SRT: their FFmpeg is built without libsrt (18.1).
    """
    if not isinstance(error, av.error.ProtocolNotFoundError):
        return None
    return f"the FFmpeg of this PyAV was built without '{scheme_of(url)}'"
