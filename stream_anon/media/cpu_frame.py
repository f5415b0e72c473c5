"""A decoded frame on the CPU, patched in place on its YCbCr planes."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from stream_anon.media.frame import Frame, Pixels, Transforms
from stream_anon.media.patches import check_patches, check_transforms
from stream_anon.media.pixel_formats import (
    Array,
    Layout,
    Matrix,
    colour_matrix,
    from_rgb,
    is_full,
    layout_of,
    plane_bytes,
    plane_view,
    to_rgb,
)
from stream_anon.media.resampling import (
    Counts,
    blend,
    bounds,
    compose_left,
    compose_right,
    inverse,
    max_pool,
    resample,
    resample_plans,
    units_from_crop,
)


class Scaler:
    """One reusable scaling context a stream; locked, since a context serves one call at a time."""

    def __init__(self) -> None:
        self._context = VideoReformatter()
        self._lock = threading.Lock()

    def bgr(self, av_frame: Any, width: int, height: int) -> Pixels:
        """(height, width, 3) uint8 BGR of an ``av.VideoFrame``."""
        with self._lock:
            small = self._context.reformat(
                av_frame,
                width=width,
                height=height,
                format="bgr24",
                interpolation=Interpolation.AREA,
                threads=1,
            )
        return plane_bytes(small.planes[0])[:, : width * 3].reshape(height, width, 3)


class CpuFrame(Frame):
    """An ``av.VideoFrame`` in a pixel format that ``pixel_formats.layout_of`` knows.

    Args:
        av_frame: as the decoder made it; this frame owns it from here on.
        stream, index, pts, time_base, rotation: as of ``Frame``.
        rate: likewise; None for one frame in each unit of ``time_base``.
        scaler: shared by the frames of a stream.
        vectors: (n, 5) float32 as ``motion`` returns them, or None.
        corrupt: flag the frame as damaged whatever the decoder said of it.

    Raises:
        ValueError: the frame's pixel format is another one.
    """

    def __init__(
        self,
        av_frame: Any,
        *,
        stream: int = 0,
        index: int = 0,
        pts: int = 0,
        time_base: Fraction = Fraction(1, 25),
        rate: Fraction | None = None,
        rotation: int = 0,
        scaler: Scaler | None = None,
        vectors: NDArray[np.float32] | None = None,
        corrupt: bool = False,
    ) -> None:
        layout = layout_of(av_frame.format.name)
        self.stream, self.index, self.pts, self.time_base = stream, index, pts, time_base
        self.rate = 1 / time_base if rate is None else rate
        self.width, self.height = av_frame.width, av_frame.height
        self.rotation, self.device = rotation, "cpu"
        self.corrupt = corrupt or av_frame.is_corrupt
        self._av_frame = av_frame
        self._layout: Layout = layout
        self._scaler = scaler or Scaler()
        self._vectors = vectors
        self._writable = False
        self._views: list[Array] | None = None
        self._colorspace = colour_matrix(int(av_frame.colorspace), av_frame.height)
        self._full = is_full(layout, int(av_frame.color_range))

    @property
    def nbytes(self) -> int:
        """Memory that the frame's planes take."""
        return sum(plane.buffer_size for plane in self._av_frame.planes)

    @property
    def layout(self) -> Layout:
        """The pixel format."""
        return self._layout

    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole frame scaled to ``(height, width, 3)``, BGR, 0-255."""
        return self._scaler.bgr(self._av_frame, width, height)

    def luma(self, step: int) -> Pixels:
        """Every ``step``-th luma sample of every ``step``-th row: a view, or a copy above 8 bit."""
        view = self._planes()[0][::step, ::step]
        if self._layout.depth > 8:
            return (view >> (self._layout.depth - 8)).astype(np.uint8)
        return view

    def motion(self) -> NDArray[np.float32] | None:
        """Block motion as the decoder exported it, or None; see ``Frame.motion``."""
        return self._vectors

    def crops(self, transforms: Transforms, size: int, extent: float) -> Pixels:
        """Cut aligned squares; see ``Frame.crops``.

        Raises:
            ValueError: a transform is singular or not finite.
        """
        transforms = check_transforms(transforms)
        layout, planes, count = self._layout, self._planes(), len(transforms)
        if not count:
            return np.empty((0, size, size, 3), np.uint8)
        a, b = units_from_crop(size, extent)
        to_frame = compose_right(inverse(transforms), np.full(2, a), np.full(2, b))
        sizes = np.full((count, 2), size)
        luma = resample_plans(to_frame, sizes, planes[0].shape)
        shift = layout.depth - 8
        ycc: Array
        if layout.chroma:
            scale = 1.0 / np.array([1 << layout.sub_x, 1 << layout.sub_y])
            to_chroma = compose_left(to_frame, scale, 0.5 * scale - 0.5)
            chroma = resample_plans(to_chroma, sizes, planes[1].shape)
            ycc = np.empty((count, size, size, 3), layout.dtype)
            for out, one, two in zip(ycc, luma, chroma, strict=True):
                cv2.merge(
                    [resample(p, r) for p, r in zip(planes, (one, two, two), strict=True)], out
                )
        else:
            ycc = np.full((count, size, size, 3), 128 << shift, layout.dtype)
            for out, one in zip(ycc, luma, strict=True):
                out[:, :, 0] = resample(planes[0], one)
        matrix = to_rgb(layout, self._colorspace, self._full)
        rgb: Array = cv2.transform(ycc.reshape(count * size, size, 3), matrix)
        if shift:
            rgb = np.minimum(rgb, 255).astype(np.uint8)
        return rgb.reshape(count, size, size, 3)

    def paste(self, crops: Pixels, masks: Pixels, transforms: Transforms, extent: float) -> None:
        """Blend crops back in place, where their masks say; see ``Frame.paste``.

        A chroma sample is replaced as far as the most replaced of its luma samples.

        Raises:
            ValueError: shapes or types do not fit together, or a transform is singular.
        """
        transforms = check_transforms(transforms)
        check_patches(crops, masks, len(transforms))
        if not len(transforms):
            return
        size, grid = crops.shape[1], masks.shape[1]
        a, b = units_from_crop(grid, extent)
        to_mask = compose_left(transforms, np.full(2, 1.0 / a), np.full(2, -b / a))
        kept, corners, ends = self._regions(inverse(to_mask), masks)
        if not len(kept):
            return
        self._writable_planes()
        layout = self._layout
        matrix = from_rgb(layout, self._colorspace, self._full)
        pixels = crops[kept].reshape(len(kept) * size, size, 3).astype(layout.dtype, copy=False)
        ycc = cv2.transform(pixels, matrix).reshape(-1, size, size, 3)
        one, corner = np.ones(2), corners.astype(np.float64)
        # Whole chroma blocks: the last block of an odd side hangs over the frame's edge.
        block = np.array([1 << layout.sub_x, 1 << layout.sub_y])
        blocks = -((corners - ends) // block)
        a, b = units_from_crop(size, extent)
        to_crop = compose_left(transforms[kept], np.full(2, 1.0 / a), np.full(2, -b / a))
        news = resample_plans(compose_right(to_crop, one, corner), blocks * block, (size, size))
        # A mask of the crop's own size is warped along with it, unless it is cut off by the
        # frame: beyond that a crop goes on, a mask does not.
        joined = size == grid and not (masks[:, [0, -1]].any() or masks[:, :, [0, -1]].any())
        alphas = []
        if not joined:
            alphas = resample_plans(
                compose_right(to_mask[kept], one, corner), blocks * block, (grid, grid)
            )
        nothing = np.zeros((size, size), layout.dtype)
        for n, (x, y) in enumerate(corners.tolist()):
            mask = masks[kept[n]]
            patch = cv2.merge([ycc[n], mask.astype(layout.dtype) if joined else nothing])
            new, *colours, alpha = cv2.split(resample(patch, news[n]))
            if not joined:
                alpha = resample(mask, alphas[n], cv2.BORDER_CONSTANT)
            self._blend(x, y, new, colours, alpha)

    def _blend(self, x: int, y: int, new: Array, colours: list[Array], alpha: Array) -> None:
        """Blend one region at (x, y), all of it in luma samples and whole chroma blocks."""
        layout, planes = self._layout, self._planes()
        rows, columns = min(len(new), self.height - y), min(new.shape[1], self.width - x)
        target = planes[0][y : y + rows, x : x + columns]
        blend(target, new[:rows, :columns], alpha[:rows, :columns])
        if not layout.chroma:
            return
        # Blocks that hang over the edge take their mask from the part that is inside.
        alpha[rows:], alpha[:, columns:] = 0, 0
        alpha = max_pool(alpha, layout.sub_x, layout.sub_y)
        rows, columns = alpha.shape
        x, y = x >> layout.sub_x, y >> layout.sub_y
        for plane, colour in zip(planes[1:3], colours, strict=True):
            # A chroma sample stands in the middle of its block.
            new = cv2.resize(colour, (columns, rows), interpolation=cv2.INTER_AREA)
            blend(plane[y : y + rows, x : x + columns], new, alpha)

    def _regions(self, to_frame: Matrix, masks: Pixels) -> tuple[Counts, Counts, Counts]:
        """Where masks are in the frame.

        Args:
            to_frame: (n, 2, 3) from masks' pixels to luma samples.
            masks: (n, m, m).

        Returns:
            Numbers of those that touch the frame, and their regions' first samples, the first
            of a chroma block, and the ends, (n, 2) each, x and y.
        """
        boxes = np.array([cv2.boundingRect(mask) for mask in masks], np.float64)
        first, size = boxes[:, :2], boxes[:, 2:]
        low, high = bounds(to_frame, first - 1.5, first + size + 0.5)
        whole = np.array([self.width, self.height], np.float64)
        starts = np.floor(np.clip(low - 1.0, 0.0, whole)).astype(np.int64)
        block = np.array([1 << self._layout.sub_x, 1 << self._layout.sub_y])
        starts = starts // block * block
        ends = np.ceil(np.clip(high + 1.0, -1.0, whole - 1.0)).astype(np.int64) + 1
        kept = np.flatnonzero((size > 0).all(axis=1) & (starts < ends).all(axis=1))
        return kept, starts[kept], ends[kept]

    def pixelate(self, blocks: int) -> None:
        """Replace the whole frame by at most ``blocks`` block averages along its longer side.

        Raises:
            ValueError: ``blocks`` is below 1.
        """
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, is {blocks}")
        longer = max(self.width, self.height)
        across = max(1, blocks * self.width // longer)
        down = max(1, blocks * self.height // longer)
        for plane in self._writable_planes():
            size = (min(across, plane.shape[1]), min(down, plane.shape[0]))
            small = cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)
            plane[...] = cv2.resize(
                small, (plane.shape[1], plane.shape[0]), interpolation=cv2.INTER_NEAREST
            )

    def blacken(self) -> None:
        """Replace the whole frame by black."""
        unit = 1 << (self._layout.depth - 8)
        planes = self._writable_planes()
        planes[0][...] = 0 if self._full else 16 * unit
        for plane in planes[1:]:
            plane[...] = 0 if self._layout.rgb else 128 * unit

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

    def to_av(self) -> Any:
        """The frame as the encoder takes it (``av.VideoFrame``), with its own time."""
        self._av_frame.pts = self.pts
        self._av_frame.time_base = self.time_base
        return self._av_frame

    def _planes(self) -> list[Array]:
        if self._views is None:
            self._views = [
                plane_view(self._av_frame, self._layout, i) for i in range(self._layout.planes)
            ]
        return self._views

    def _writable_planes(self) -> list[Array]:
        """Views that may be written to: the decoder predicts from the memory of the others."""
        if not self._writable:
            self._views = None
            self._av_frame.make_writable()
            self._writable = True
        return self._planes()
