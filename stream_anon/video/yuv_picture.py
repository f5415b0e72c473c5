"""A decoded picture on the CPU, patched in place on its YCbCr planes."""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from stream_anon.video.picture import Picture, Pixels, Transforms
from stream_anon.video.planes import (
    LAYOUTS,
    Array,
    Layout,
    Matrix,
    colour_matrix,
    is_full,
    plane_bytes,
    plane_view,
    rgb_to_ycc,
    ycc_to_rgb,
)
from stream_anon.video.warp import (
    blend,
    bounds,
    compose,
    frame_from_crop,
    inverse,
    max_pool,
    sample,
    scaled,
)


class Scaler:
    """One reusable scaling context a stream; locked, since a context serves one call at a time."""

    def __init__(self) -> None:
        self._context = VideoReformatter()
        self._lock = threading.Lock()

    def bgr(self, frame: Any, width: int, height: int) -> Pixels:
        """(height, width, 3) uint8 BGR of an ``av.VideoFrame``."""
        with self._lock:
            small = self._context.reformat(
                frame,
                width=width,
                height=height,
                format="bgr24",
                interpolation=Interpolation.AREA,
                threads=1,
            )
        return plane_bytes(small.planes[0])[:, : width * 3].reshape(height, width, 3)


class YuvPicture(Picture):
    """An ``av.VideoFrame`` in one of ``planes.LAYOUTS``.

    Args:
        frame: the decoded frame; the picture owns it from here on.
        stream, index, pts, time_base: as of ``Picture``.
        scaler: shared by the pictures of a stream.
        vectors: (n, 5) float32 as ``motion`` returns them, or None.
        corrupt: flag the picture as damaged whatever the decoder said of it.

    Raises:
        ValueError: the frame's pixel format is not one of ``planes.LAYOUTS``.
    """

    def __init__(
        self,
        frame: Any,
        *,
        stream: int = 0,
        index: int = 0,
        pts: int = 0,
        time_base: Fraction = Fraction(1, 25),
        scaler: Scaler | None = None,
        vectors: NDArray[np.float32] | None = None,
        corrupt: bool = False,
    ) -> None:
        layout = LAYOUTS.get(frame.format.name)
        if layout is None:
            raise ValueError(f"pictures of {frame.format.name} are not patched in place")
        self.stream, self.index, self.pts, self.time_base = stream, index, pts, time_base
        self.width, self.height = frame.width, frame.height
        self.corrupt = corrupt or frame.is_corrupt
        self._frame = frame
        self._layout: Layout = layout
        self._scaler = scaler or Scaler()
        self._vectors = vectors
        self._writable = False
        self._views: list[Array] | None = None
        self._colorspace = colour_matrix(int(frame.colorspace), frame.height)
        self._full = is_full(layout, int(frame.color_range))

    @property
    def nbytes(self) -> int:
        """Memory that the picture's planes take."""
        return sum(plane.buffer_size for plane in self._frame.planes)

    @property
    def layout(self) -> Layout:
        """The pixel format."""
        return self._layout

    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole picture scaled to ``(height, width, 3)``, BGR, 0-255."""
        return self._scaler.bgr(self._frame, width, height)

    def luma(self, step: int) -> Pixels:
        """Every ``step``-th luma sample of every ``step``-th row: a view, or a copy above 8 bit."""
        view = self._planes()[0][::step, ::step]
        if self._layout.depth > 8:
            return (view >> (self._layout.depth - 8)).astype(np.uint8)
        return view

    def motion(self) -> NDArray[np.float32] | None:
        """Block motion as the decoder exported it, or None; see ``Picture.motion``."""
        return self._vectors

    def crops(self, transforms: Transforms, size: int, extent: float) -> Pixels:
        """Cut aligned squares; see ``Picture.crops``.

        Raises:
            ValueError: a transform is singular or not finite.
        """
        transforms = _checked(transforms)
        layout, planes = self._layout, self._planes()
        a, b = frame_from_crop(size, extent)
        shift = layout.depth - 8
        ycc = np.full((len(transforms) * size, size, 3), 128, layout.dtype)
        if shift:
            ycc <<= shift
        for n, transform in enumerate(transforms):
            to_picture = compose(inverse(transform), np.array([[a, 0.0, b], [0.0, a, b]]))
            out = ycc[n * size : (n + 1) * size]
            out[:, :, 0] = sample(planes[0], to_picture, size, size)
            if layout.chroma:
                to_chroma = _to_chroma(to_picture, layout)
                out[:, :, 1:] = sample(planes[1:3], to_chroma, size, size)
        matrix = ycc_to_rgb(self._colorspace, self._full, layout.depth)
        rgb: Array = cv2.transform(ycc, matrix) if len(ycc) else ycc
        if shift:
            rgb = np.minimum(rgb, 255).astype(np.uint8)
        return rgb.reshape(len(transforms), size, size, 3)

    def paste(self, crops: Pixels, masks: Pixels, transforms: Transforms, extent: float) -> None:
        """Blend crops back in place, where their masks say; see ``Picture.paste``.

        A chroma sample is replaced as far as the most replaced of its luma samples.

        Raises:
            ValueError: shapes or types do not fit together, or a transform is singular.
        """
        transforms = _checked(transforms)
        _check_patches(crops, masks, len(transforms))
        if not len(transforms):
            return
        layout = self._layout
        size, grid = crops.shape[1], masks.shape[1]
        matrix = rgb_to_ycc(self._colorspace, self._full, layout.depth)
        pixels = crops.reshape(len(crops) * size, size, 3).astype(layout.dtype, copy=False)
        ycc = cv2.transform(pixels, matrix).reshape(len(crops), size, size, 3)
        luma, chroma = np.ascontiguousarray(ycc[..., 0]), np.ascontiguousarray(ycc[..., 1:])
        a, b = frame_from_crop(size, extent)
        to_crop = np.array([[1.0 / a, 0.0, -b / a], [0.0, 1.0 / a, -b / a]])
        a, b = frame_from_crop(grid, extent)
        to_mask = np.array([[1.0 / a, 0.0, -b / a], [0.0, 1.0 / a, -b / a]])
        for n, transform in enumerate(transforms):
            self._paste_one(
                luma[n],
                chroma[n],
                masks[n],
                compose(to_crop, transform),
                compose(to_mask, transform),
            )

    def _paste_one(
        self, luma: Array, chroma: Array, mask: Pixels, to_crop: Matrix, to_mask: Matrix
    ) -> None:
        """Blend one crop, (s, s) and (s, s, 2); transforms map luma samples to its samples and
        to the mask's."""
        layout = self._layout
        block_x, block_y = 1 << layout.sub_x, 1 << layout.sub_y
        left, top, wide, high = cv2.boundingRect(mask)
        if wide == 0:
            return
        low_x, low_y, high_x, high_y = bounds(
            inverse(to_mask), left - 1.5, top - 1.5, left + wide + 0.5, top + high + 0.5
        )
        x0 = max(math.floor(max(low_x - 1.0, 0.0)), 0) // block_x * block_x
        y0 = max(math.floor(max(low_y - 1.0, 0.0)), 0) // block_y * block_y
        x1 = math.ceil(min(high_x + 1.0, self.width - 1.0)) + 1
        y1 = math.ceil(min(high_y + 1.0, self.height - 1.0)) + 1
        if x1 <= x0 or y1 <= y0:
            return
        planes = self._writable_planes()
        # Whole chroma blocks: the last block of an odd side hangs over the picture's edge.
        blocks_x, blocks_y = -(-(x1 - x0) // block_x), -(-(y1 - y0) // block_y)
        shift = np.array([x0, y0], np.float64)
        local = to_mask.copy()
        local[:, 2] += local[:, :2] @ shift
        alpha = sample(mask, local, blocks_x * block_x, blocks_y * block_y, cv2.BORDER_CONSTANT)
        local = to_crop.copy()
        local[:, 2] += local[:, :2] @ shift
        rows, columns = min(len(alpha), self.height - y0), min(alpha.shape[1], self.width - x0)
        new = sample(luma, local, columns, rows)
        blend(planes[0][y0 : y0 + rows, x0 : x0 + columns], new, alpha[:rows, :columns])
        if not layout.chroma:
            return
        # Blocks that hang over the edge take their mask from the part that is inside.
        alpha[rows:], alpha[:, columns:] = 0, 0
        alpha = max_pool(alpha, layout.sub_x, layout.sub_y)
        # A chroma sample stands in the middle of its block.
        to_luma = np.array(
            [[block_x, 0.0, (block_x - 1) / 2.0], [0.0, block_y, (block_y - 1) / 2.0]]
        )
        local = compose(local, to_luma)
        cx, cy = x0 >> layout.sub_x, y0 >> layout.sub_y
        new = sample(chroma, local, blocks_x, blocks_y)
        for number, plane in enumerate(planes[1:3]):
            blend(plane[cy : cy + blocks_y, cx : cx + blocks_x], new[..., number], alpha)

    def pixelate(self, blocks: int) -> None:
        """Replace the whole picture by about ``blocks`` block averages along its longer side.

        Raises:
            ValueError: ``blocks`` is below 1.
        """
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, is {blocks}")
        longer = max(self.width, self.height)
        across = max(1, round(blocks * self.width / longer))
        down = max(1, round(blocks * self.height / longer))
        for plane in self._writable_planes():
            size = (min(across, plane.shape[1]), min(down, plane.shape[0]))
            small = cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)
            plane[...] = cv2.resize(
                small, (plane.shape[1], plane.shape[0]), interpolation=cv2.INTER_NEAREST
            )

    def blacken(self) -> None:
        """Replace the whole picture by black."""
        unit = 1 << (self._layout.depth - 8)
        planes = self._writable_planes()
        planes[0][...] = 0 if self._full else 16 * unit
        for plane in planes[1:]:
            plane[...] = 128 * unit

    def outline(self, box: NDArray[np.float64]) -> None:
        """Draw the border of a box (4,), x0 y0 x1 y1 pixels, for looking at what was tracked."""
        layout = self._layout
        unit = 1 << (layout.depth - 8)
        thick = max(2, min(self.width, self.height) // 270)
        values = (200 * unit, 60 * unit, 60 * unit)
        for i, plane in enumerate(self._writable_planes()):
            sub_x, sub_y = (layout.sub_x, layout.sub_y) if i else (0, 0)
            high, wide = plane.shape
            x0, x1 = (int(np.clip(v, 0, self.width - 1)) >> sub_x for v in (box[0], box[2]))
            y0, y1 = (int(np.clip(v, 0, self.height - 1)) >> sub_y for v in (box[1], box[3]))
            tx, ty = max(1, thick >> sub_x), max(1, thick >> sub_y)
            x1, y1 = min(x1 + 1, wide), min(y1 + 1, high)
            plane[y0:y1, x0 : x0 + tx] = values[i]
            plane[y0:y1, max(x1 - tx, x0) : x1] = values[i]
            plane[y0 : y0 + ty, x0:x1] = values[i]
            plane[max(y1 - ty, y0) : y1, x0:x1] = values[i]

    def frame(self) -> Any:
        """The picture as the encoder takes it (``av.VideoFrame``), with its own time."""
        self._frame.pts = self.pts
        self._frame.time_base = self.time_base
        return self._frame

    def _planes(self) -> list[Array]:
        if self._views is None:
            self._views = [
                plane_view(self._frame, self._layout, i) for i in range(self._layout.planes)
            ]
        return self._views

    def _writable_planes(self) -> list[Array]:
        """Views that may be written to: the decoder predicts from the memory of the others."""
        if not self._writable:
            self._views = None
            self._frame.make_writable()
            self._writable = True
        return self._planes()


def _to_chroma(to_picture: Matrix, layout: Layout) -> Matrix:
    a, b = 1.0 / (1 << layout.sub_x), 1.0 / (1 << layout.sub_y)
    return scaled(to_picture, a, 0.5 * a - 0.5, b, 0.5 * b - 0.5)


def _checked(transforms: Transforms) -> Transforms:
    transforms = np.asarray(transforms, np.float64)
    if transforms.ndim != 3 or transforms.shape[1:] != (2, 3):
        raise ValueError(f"transforms must be (n, 2, 3), are {transforms.shape}")
    if not np.isfinite(transforms).all():
        raise ValueError("a transform is not finite")
    return transforms


def _check_patches(crops: Pixels, masks: Pixels, count: int) -> None:
    if crops.dtype != np.uint8 or masks.dtype != np.uint8:
        raise ValueError(f"crops and masks must be uint8, are {crops.dtype} and {masks.dtype}")
    if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3:
        raise ValueError(f"crops must be (n, s, s, 3), are {crops.shape}")
    if masks.ndim != 3 or masks.shape[1] != masks.shape[2]:
        raise ValueError(f"masks must be (n, m, m), are {masks.shape}")
    if not len(crops) == len(masks) == count:
        raise ValueError(f"{count} transforms, {len(crops)} crops and {len(masks)} masks")
