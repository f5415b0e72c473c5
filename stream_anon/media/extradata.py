"""A copied stream's header without what decoding does not need: names, places, cover frames.

Some codecs keep comments in what containers store as the codec's private data, where no metadata
policy of a muxer reaches.
"""

from __future__ import annotations

_VORBIS_COMMENT = b"\x03vorbis" + bytes(8) + b"\x01"
_STREAMINFO = 34
_ALAC_COOKIE = 36
_OPUS_HEAD = 19
_SCRIPT_KEYS = (
    "scripttype",
    "collisions",
    "playresx",
    "playresy",
    "layoutresx",
    "layoutresy",
    "playdepth",
    "timer",
    "wrapstyle",
    "scaledborderandshadow",
    "ycbcr matrix",
    "kerning",
)
_VOBSUB_KEYS = (
    "size",
    "org",
    "scale",
    "alpha",
    "smooth",
    "fadein/out",
    "align",
    "palette",
    "time offset",
    "forced subs",
    "custom colors",
    "tridx",
    "langidx",
    "id",
)


def scrubbed(codec: str, data: bytes | None) -> bytes | None:
    """The private data of a copied stream, without comments.

    Args:
        codec: FFmpeg's short name.
        data: as the demuxer gives them, or None.
    """
    if not data:
        return data
    if codec == "vorbis":
        return _vorbis(data)
    if codec == "flac":
        # Behind STREAMINFO come comments, frames and padding (RFC 9639, 8).
        start = 8 if data.startswith(b"fLaC") else 0
        return data[start : start + _STREAMINFO]
    if codec == "alac":
        return data[:_ALAC_COOKIE]
    if codec == "opus" and data.startswith(b"OpusHead") and len(data) >= _OPUS_HEAD:
        return data[: _OPUS_HEAD + (2 + data[9] if data[18] else 0)]
    if codec in ("ass", "ssa"):
        return _script(data)
    if codec == "dvd_subtitle":
        return _keyed(data, _VOBSUB_KEYS)
    return data


def _vorbis(data: bytes) -> bytes:
    """Three headers, laced; the second holds the comments (Vorbis I, 5)."""
    headers = _laced(data) if data[0] == 2 else _counted(data)
    if headers is None:
        return data
    first, _, last = headers
    return (
        b"\x02" + _lace(len(first)) + _lace(len(_VORBIS_COMMENT)) + first + _VORBIS_COMMENT + last
    )


def _laced(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    at, sizes = 1, []
    for _ in range(2):
        size = 0
        while at < len(data) and data[at] == 255:
            size += 255
            at += 1
        if at >= len(data):
            return None
        sizes.append(size + data[at])
        at += 1
    second, third = at + sizes[0], at + sum(sizes)
    return (data[at:second], data[second:third], data[third:]) if third <= len(data) else None


def _counted(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Headers behind their sizes in 16 bits, another form that FFmpeg knows."""
    out, at = [], 0
    for _ in range(3):
        size = int.from_bytes(data[at : at + 2])
        out.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return (out[0], out[1], out[2]) if out[0].startswith(b"\x01vorbis") else None


def _lace(size: int) -> bytes:
    return b"\xff" * (size // 255) + bytes([size % 255])


def _script(data: bytes) -> bytes:
    """Of a subtitle script the sections that players draw by; no fonts, frames or remarks."""
    out, section = [], ""
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.strip()
        if words.startswith("["):
            section = words.lower()
            if section in ("[fonts]", "[graphics]") or section.startswith("[aegisub"):
                section = ""
        elif words.startswith((";", "!:")):
            continue
        elif section == "[script info]":
            key = words.partition(":")[0].strip().lower()
            if key and key not in _SCRIPT_KEYS:
                continue
        if section:
            out.append(line)
    return ("\r\n".join(out) + "\r\n").encode()


def _keyed(data: bytes, keys: tuple[str, ...]) -> bytes:
    lines = data.decode("utf-8", "replace").splitlines()
    kept = [line for line in lines if line.partition(":")[0].strip().lower() in keys]
    return ("\n".join(kept) + "\n").encode()
