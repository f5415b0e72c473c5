"""Planes of decoded frames as arrays, and the colour arithmetic between YCbCr and RGB.

Positions are given in luma samples with centres at integers. A chroma sample covers a block of
luma samples and stands in the middle of that block; the same is assumed when pixels are read
and when they are written, so that what is pasted back lands where it was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Matrix = NDArray[np.float64]

_LUMA_WEIGHTS = {
    # AVColorSpace -> (Kr, Kb); ITU-T H.273, table 4.
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG
    6: (0.299, 0.114),  # SMPTE 170M
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
    10: (0.2627, 0.0593),
}
_FULL_RANGE = 2
_HD_HEIGHT = 720


@dataclass(frozen=True, slots=True)
class Layout:
    """How a pixel format lays a frame out.

    Attributes:
        name: FFmpeg's name.
        depth: bits of a sample; above 8 a sample takes two bytes, little endian.
        sub_x, sub_y: log2 of luma samples per chroma sample, across and down.
        chroma: whether there are chroma planes.
        full: the name itself says full range (``yuvj...``).
        alpha: whether a fourth plane holds opacity.
        rgb: the planes are green, blue and red: of photos, which nothing may be rounded in.
    """

    name: str
    depth: int
    sub_x: int
    sub_y: int
    chroma: bool
    full: bool = False
    alpha: bool = False
    rgb: bool = False

    @property
    def planes(self) -> int:
        """Planes that a paste changes."""
        return 3 if self.chroma else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a sample."""
        return np.dtype("u1" if self.depth == 8 else "<u2")


def _layouts() -> dict[str, Layout]:
    chroma = {
        "420": (1, 1),
        "422": (1, 0),
        "444": (0, 0),
        "440": (0, 1),
        "411": (2, 0),
        "410": (2, 2),
    }
    out = {"gray": Layout("gray", 8, 0, 0, False)}
    for depth in (9, 10, 12, 14):
        out[f"gray{depth}le"] = Layout(f"gray{depth}le", depth, 0, 0, False)
    for digits, (sub_x, sub_y) in chroma.items():
        out[f"yuv{digits}p"] = Layout(f"yuv{digits}p", 8, sub_x, sub_y, True)
        out[f"yuvj{digits}p"] = Layout(f"yuvj{digits}p", 8, sub_x, sub_y, True, full=True)
        out[f"yuva{digits}p"] = Layout(f"yuva{digits}p", 8, sub_x, sub_y, True, alpha=True)
        for depth in (9, 10, 12, 14):
            name = f"yuv{digits}p{depth}le"
            out[name] = Layout(name, depth, sub_x, sub_y, True)
            name = f"yuva{digits}p{depth}le"
            out[name] = Layout(name, depth, sub_x, sub_y, True, alpha=True)
    return out


LAYOUTS = _layouts()
"""Pixel formats of video that are patched in place; any other is converted when it is decoded."""

PHOTO_LAYOUTS = {
    "gray16le": Layout("gray16le", 16, 0, 0, False, full=True),
    **{
        f"gbr{alpha}p{depth}": Layout(
            f"gbr{alpha}p{depth}", bits, 0, 0, True, full=True, alpha=bool(alpha), rgb=True
        )
        for alpha in ("", "a")
        for depth, bits in (("", 8), ("16le", 16))
    },
}
"""Pixel formats that only photos are patched in."""


def layout_of(pix_fmt: str) -> Layout:
    """How a pixel format that is patched in place lies in memory.

    Raises:
        ValueError: it is not patched in place.
    """
    layout = LAYOUTS.get(pix_fmt) or PHOTO_LAYOUTS.get(pix_fmt)
    if layout is None:
        raise ValueError(f"frames of {pix_fmt} are not patched in place")
    return layout


def nearest_layout(pix_fmt: Any) -> str:
    """The format of ``LAYOUTS`` to convert to.

    Args:
        pix_fmt: ``av.VideoFormat``.
    """
    if pix_fmt.name in LAYOUTS:
        return str(pix_fmt.name)
    depth = max((component.bits for component in pix_fmt.components), default=8)
    suffix = "" if depth <= 8 else "10le" if depth <= 10 else "12le"
    if pix_fmt.name.startswith(("gray", "ya", "mono")):
        return "gray" + suffix
    if pix_fmt.has_palette or pix_fmt.is_rgb:
        return "yuv444p" + suffix
    narrow, low = pix_fmt.chroma_width(64) < 64, pix_fmt.chroma_height(64) < 64
    return {(True, True): "yuv420p", (True, False): "yuv422p", (False, True): "yuv440p"}.get(
        (narrow, low), "yuv444p"
    ) + suffix


def plane_view(av_frame: Any, layout: Layout, index: int) -> Array:
    """Plane ``index`` of an ``av.VideoFrame`` as a (height, width) array on its own memory.

    It may be written to only after ``av_frame.make_writable()``, which may move the memory:
    views that were made before it are stale.
    """
    plane = av_frame.planes[index]
    width = plane.width * layout.dtype.itemsize
    return plane_bytes(plane)[:, :width].view(layout.dtype)


def plane_bytes(plane: Any) -> NDArray[np.uint8]:
    """An ``av.VideoPlane`` as (height, bytes a line) on its own memory, padding included."""
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, abs(plane.line_size))
    return rows[::-1] if plane.line_size < 0 else rows


def colour_matrix(colorspace: int, height: int) -> int:
    """The AVColorSpace to compute with: the one that is tagged, or what players take for none."""
    if colorspace in _LUMA_WEIGHTS:
        return colorspace
    return 1 if height >= _HD_HEIGHT else 6


@lru_cache(maxsize=64)
def rgb_to_ycc(colorspace: int, full: bool, depth: int) -> NDArray[np.float32]:
    """(3, 4) matrix from 8-bit RGB (and 1) to Y, Cb, Cr samples of the given depth and range."""
    kr, kb = _LUMA_WEIGHTS[colorspace]
    kg = 1.0 - kr - kb
    luma = np.array([kr, kg, kb])
    cb = (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - kb))
    cr = (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - kr))
    if full:
        scale, offset, span = float((1 << depth) - 1), 0.0, float((1 << depth) - 1)
    else:
        unit = float(1 << (depth - 8))
        scale, offset, span = 219.0 * unit, 16.0 * unit, 224.0 * unit
    middle = float(1 << (depth - 1))
    out = np.zeros((3, 4), np.float64)
    out[0, :3], out[0, 3] = luma * scale / 255.0, offset
    out[1, :3], out[1, 3] = cb * span / 255.0, middle
    out[2, :3], out[2, 3] = cr * span / 255.0, middle
    return out.astype(np.float32)


@lru_cache(maxsize=64)
def ycc_to_rgb(colorspace: int, full: bool, depth: int) -> NDArray[np.float32]:
    """(3, 4) matrix from Y, Cb, Cr samples (and 1) to 8-bit RGB; the inverse of the above."""
    forward = rgb_to_ycc(colorspace, full, depth).astype(np.float64)
    linear = np.linalg.inv(forward[:, :3])
    return np.hstack([linear, -linear @ forward[:, 3:]]).astype(np.float32)


def to_rgb(layout: Layout, colorspace: int, full: bool) -> NDArray[np.float32]:
    """(3, 4) matrix from the samples of a layout's planes (and 1) to 8-bit RGB."""
    if not layout.rgb:
        return ycc_to_rgb(colorspace, full, layout.depth)
    return np.asarray(_PLANES_TO_RGB / _unit(layout), np.float32)


def from_rgb(layout: Layout, colorspace: int, full: bool) -> NDArray[np.float32]:
    """(3, 4) matrix from 8-bit RGB (and 1) to the samples of a layout's planes."""
    if not layout.rgb:
        return rgb_to_ycc(colorspace, full, layout.depth)
    # The planes' order is turned back by the transpose of what turns it.
    back = np.hstack([_PLANES_TO_RGB[:, :3].T, np.zeros((3, 1))])
    return np.asarray(back * _unit(layout), np.float32)


_PLANES_TO_RGB = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]])


def _unit(layout: Layout) -> float:
    """Samples of a layout in one step of 8 bits."""
    return float((1 << layout.depth) - 1) / 255.0


def is_full(layout: Layout, color_range: int) -> bool:
    """Whether samples use the whole range, by name or by tag (AVColorRange)."""
    return layout.full or color_range == _FULL_RANGE
