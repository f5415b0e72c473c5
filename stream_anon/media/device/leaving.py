"""Frames on their way to an encoder as they lie: NV12 or P010, on the card or in host memory."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

from stream_anon.kernels.planes import PixelFormat
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.order import Order
from stream_anon.media.device.surface import Surface

TAGS = ("colorspace", "color_range", "color_primaries", "color_trc")
"""What is said of a frame's colours, as ``av.VideoFrame`` calls it."""


def tagged(out: Any, tags: Sequence[int], pts: int, time_base: Fraction) -> Any:
    """``av.VideoFrame`` with its colours' tags and its time."""
    for name, value in zip(TAGS, tags, strict=True):
        setattr(out, name, value)
    out.pts, out.time_base = pts, time_base
    return out


def on_host(surface: Surface, planes: Sequence[Any], name: str) -> Any:
    """``av.VideoFrame`` on planes that were copied to the host, which nobody else holds.

    Args:
        surface: of even sizes.
        planes: its planes in host memory, page-locked where they come from a card.
        name: ``nv12`` or ``p010le``.
    """
    return av.VideoFrame.from_dlpack(_views(surface, planes), name)


def on_card(surface: Surface, kernels: DeviceKernels, order: Order, name: str) -> Any:
    """``av.VideoFrame`` on a copy of a frame on a card, for the encoder there.

    Args:
        surface: of even sizes.
        kernels: of the card.
        order: of the frame.
        name: ``nv12`` or ``p010le``: of its samples.
    """
    with order.reading("copy"):
        # The pool hands planes on when the frame has gone, and the encoder reads on behind that.
        planes = [plane.copy() for plane in _views(surface, surface.planes)]
        copied = kernels.streams.record()
    # FFmpeg reads in a stream of its own.
    kernels.streams.finish(copied)
    return av.VideoFrame.from_dlpack(planes, name, cuda_context=kernels.av_context())


def _views(surface: Surface, planes: Sequence[Any]) -> list[Any]:
    """Luma (h, w) and chroma (h / 2, w), uint8 or uint16."""
    kind = np.dtype("u1" if surface.format is PixelFormat.NV12 else "<u2")
    return [plane.view(kind)[:, : surface.width] for plane in planes]
