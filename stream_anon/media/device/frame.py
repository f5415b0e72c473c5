"""A decoded frame on a device: NV12 or P010 that kernels read and write.

The same class on a GPU, through CuPy, and on the CPU, through the g++ shim or the kernels' NumPy
twins: the kernels' module decides where arrays live. The planes leave the device once, when they
are to be encoded.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.faces import BLOCKS
from stream_anon.kernels.maps import Axis, axis, thumbnail_axes
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.plans import (
    crop_plans,
    paste_plans,
    tiles_of,
)
from stream_anon.media.device.surface import (
    Surface,
    batch_of,
    from_planar,
    to_host,
    to_planar,
    views,
)
from stream_anon.media.frame import Frame, Pixels, Transforms
from stream_anon.media.patches import check_patches, check_transforms
from stream_anon.media.pixel_formats import (
    LAYOUTS,
    Layout,
    colour_matrix,
    is_full,
    plane_view,
)

FORMATS = {
    name for name, one in LAYOUTS.items()
    if (one.sub_x, one.sub_y) == (1, 1) and one.chroma and not one.alpha and one.depth in (8, 10)
}  # fmt: skip
"""Pixel formats that can go to a device: 4:2:0 of 8 or 10 bits without opacity."""

_TAGS = ("colorspace", "color_range", "color_primaries", "color_trc")


class DeviceFrame(Frame):
    """A frame whose planes lie on a device.

    Args:
        surface: its planes, its own: no decoder reads them or writes to them.
        kernels: of the device that they lie on.
        layout: planar format that it was decoded to and is handed on in.
        tags: what ``_TAGS`` names, as ``av.VideoFrame`` has them.
        stream, index, pts, time_base, rotation: as of ``Frame``.
        rate: likewise; None for one frame in each unit of ``time_base``.
        vectors: (n, 5) float32 as ``motion`` returns them, or None.
        corrupt: the frame is damaged.
    """

    def __init__(
        self,
        surface: Surface,
        kernels: DeviceKernels,
        layout: Layout,
        tags: tuple[int, ...],
        *,
        stream: int = 0,
        index: int = 0,
        pts: int = 0,
        time_base: Fraction = Fraction(1, 25),
        rate: Fraction | None = None,
        rotation: int = 0,
        vectors: NDArray[np.float32] | None = None,
        corrupt: bool = False,
    ) -> None:
        self.stream, self.index, self.pts, self.time_base = stream, index, pts, time_base
        self.rate = 1 / time_base if rate is None else rate
        self.width, self.height = surface.width, surface.height
        self.rotation, self.device = rotation, kernels.device
        self.corrupt = corrupt
        self._surface = surface
        self._kernels = kernels
        self._layout = layout
        self._tags = tags
        self._vectors = vectors
        self._batch = batch_of(kernels["maps"], [surface])
        self._shown = batch_of(kernels["maps"], [surface], thumbnail=True)

    @property
    def nbytes(self) -> int:
        """Memory that the frame's planes take."""
        return self._surface.nbytes

    @property
    def layout(self) -> Layout:
        """The planar format that it stands for."""
        return self._layout

    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole frame scaled to ``(height, width, 3)``, BGR, 0-255."""
        module, batch = self._kernels["maps"], self._shown
        key = ("thumbnail", self.width, self.height, width, height)
        tables = self._kernels.table(
            key, lambda: _joined(*thumbnail_axes(self.width, self.height, width, height))
        )
        out = module.zeros((1, height, width, 3), np.uint8)
        module.launch(
            "map_thumbnail", width * height, batch.addresses, batch.geometry, batch.colours,
            np.int32(1), np.int32(width), np.int32(height), *tables, out,
        )  # fmt: skip
        found: Pixels = self._kernels.given(module, out)[0]
        return found

    def luma(self, step: int) -> Pixels:
        """Every ``step``-th luma sample of every ``step``-th row, 8 bit, in host memory."""
        module, batch = self._kernels["maps"], self._batch
        width, height = -(-self.width // step), -(-self.height // step)
        out = module.zeros((1, height, width), np.uint8)
        module.launch(
            "map_luma", width * height, batch.addresses, batch.geometry, np.int32(1),
            np.int32(step), np.int32(width), np.int32(height), out,
        )  # fmt: skip
        found: Pixels = module.get(out)[0]
        return found

    def motion(self) -> NDArray[np.float32] | None:
        """Block motion as the decoder exported it, or None; see ``Frame.motion``."""
        return self._vectors

    def crops(self, transforms: Transforms, size: int, extent: float) -> Pixels:
        """Cut aligned squares; see ``Frame.crops``.

        Raises:
            ValueError: a transform is singular or not finite.
        """
        transforms = check_transforms(transforms)
        count = len(transforms)
        if not count:
            return np.empty((0, size, size, 3), np.uint8)
        plans = crop_plans(transforms, size, extent, self.width, self.height)
        module, batch = self._kernels["faces"], self._batch
        out = module.zeros((count, size, size, 3), np.uint8)
        module.launch(
            "face_crop", count * size * size, batch.addresses, batch.geometry, batch.colours,
            module.put(plans), np.int32(count), np.int32(size), out,
        )  # fmt: skip
        found: Pixels = self._kernels.given(module, out)
        return found

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
        plans, kept = paste_plans(masks, transforms, size, extent, self.width, self.height)
        tiles, lists = tiles_of(plans)
        if not len(tiles):
            return
        module, batch = self._kernels["faces"], self._batch
        module.launch(
            "face_paste", len(tiles) * BLOCKS, batch.addresses, batch.geometry, batch.colours,
            module.put(plans), module.put(tiles), np.int32(len(tiles)), module.put(lists),
            module.put(crops[kept]), np.int32(size), module.put(masks[kept]), np.int32(grid),
        )  # fmt: skip

    def pixelate(self, blocks: int) -> None:
        """Replace the whole frame by at most ``blocks`` block averages along its longer side.

        Raises:
            ValueError: ``blocks`` is below 1.
        """
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, is {blocks}")
        longer = max(self.width, self.height)
        small = (self.width + 1) // 2, (self.height + 1) // 2
        across = min(max(1, blocks * self.width // longer), small[0])
        down = min(max(1, blocks * self.height // longer), small[1])
        x = self._kernels.table(
            ("blocks", self.width, across),
            lambda: _joined(axis(self.width, across), axis(small[0], across)),
        )
        y = self._kernels.table(
            ("blocks", self.height, down),
            lambda: _joined(axis(self.height, down), axis(small[1], down)),
        )
        module, batch = self._kernels["covers"], self._batch
        sums = module.zeros((1, 3, self.height, across), np.int64)
        levels = module.zeros((1, 3, down, across), np.int32)
        module.launch(
            "cover_rows", 3 * self.height * across, batch.addresses, batch.geometry, np.int32(1),
            np.int32(self.height), np.int32(across), *x, sums,
        )  # fmt: skip
        module.launch(
            "cover_blocks", 3 * down * across, sums, np.int32(1), np.int32(self.height),
            np.int32(across), np.int32(down), *y, levels,
        )  # fmt: skip
        self._paint(levels, across, down)

    def blacken(self) -> None:
        """Replace the whole frame by black."""
        unit = 1 << (self._layout.depth - 8)
        black = 0 if self._surface.full else 16 * unit
        levels = np.array([black, 128 * unit, 128 * unit], np.int32).reshape(1, 3, 1, 1)
        self._paint(self._kernels["covers"].put(levels), 1, 1)

    def _paint(self, levels: Any, across: int, down: int) -> None:
        module, batch = self._kernels["covers"], self._batch
        threads = ((self.width + 1) // 2) * ((self.height + 1) // 2)
        module.launch(
            "cover_paint", threads, batch.addresses, batch.geometry, np.int32(1),
            np.int32(self.width), np.int32(self.height), levels, np.int32(across), np.int32(down),
        )  # fmt: skip

    def outline(self, box: NDArray[np.float64]) -> None:
        """Draw the border of a box (4,), x0 y0 x1 y1 pixels, for looking at what was tracked.

        Four thin patches: a debugging aid needs no kernel of its own.
        """
        thick = max(2, min(self.width, self.height) // 270)
        x0, x1 = (float(np.clip(v, 0, self.width - 1)) for v in (box[0], box[2]))
        y0, y1 = (float(np.clip(v, 0, self.height - 1)) for v in (box[1], box[3]))
        sides = [
            (x0, y0, max(x1 - x0, thick), thick),
            (x0, max(y1 - thick, y0), max(x1 - x0, thick), thick),
            (x0, y0, thick, max(y1 - y0, thick)),
            (max(x1 - thick, x0), y0, thick, max(y1 - y0, thick)),
        ]
        # A patch of one unit's extent, which is stretched over the side of the box; its mask is
        # fine, since it runs out over one of its samples.
        transforms = np.array(
            [[[1 / w, 0, -x / w - 0.5], [0, 1 / h, -y / h - 0.5]] for x, y, w, h in sides]
        )
        patches = np.zeros((4, 1, 1, 3), np.uint8)
        patches[...] = (90, 230, 120)
        self.paste(patches, np.full((4, 128, 128), 255, np.uint8), transforms, 1.0)

    def to_av(self) -> Any:
        """The frame as the encoder takes it (``av.VideoFrame``), copied to the host once."""
        out = av.VideoFrame(self.width, self.height, self._layout.name)
        planes = to_planar(self._kernels["maps"], self._surface)
        for number, plane in enumerate(planes):
            plane_view(out, self._layout, number)[...] = plane
        return self._tagged(out)

    def encodable(self, formats: Collection[str]) -> Any:
        """As it lies, on the card or copied to the host once; see ``Frame.encodable``."""
        name = "nv12" if self._layout.depth == 8 else "p010le"
        odd = self.width % 2 or self.height % 2
        if odd or not {name, "cuda"} & set(formats):
            return self.to_av()
        module = self._kernels["maps"]
        if "cuda" in formats and self.device.startswith("cuda"):
            # FFmpeg reads on a stream of its own.
            module.wait()
            planes, context = views(self._surface), self._kernels.av_context()
            return self._tagged(av.VideoFrame.from_dlpack(planes, name, cuda_context=context))
        return self._tagged(av.VideoFrame.from_dlpack(to_host(module, self._surface), name))

    def _tagged(self, out: Any) -> Any:
        for name, value in zip(_TAGS, self._tags, strict=True):
            setattr(out, name, value)
        out.pts, out.time_base = self.pts, self.time_base
        return out


def from_av(
    av_frame: Any,
    kernels: DeviceKernels,
    *,
    stream: int = 0,
    index: int = 0,
    pts: int = 0,
    time_base: Fraction = Fraction(1, 25),
    rate: Fraction | None = None,
    rotation: int = 0,
    vectors: NDArray[np.float32] | None = None,
    corrupt: bool = False,
) -> DeviceFrame:
    """A frame in host memory, copied to a device; the arguments are those of ``CpuFrame``.

    Raises:
        ValueError: the frame's pixel format is not one of ``FORMATS``.
    """
    name = av_frame.format.name
    if name not in FORMATS:
        raise ValueError(f"frames of {name} do not go to a device")
    layout = LAYOUTS[name]
    surface = from_planar(
        kernels["maps"],
        [plane_view(av_frame, layout, number) for number in range(3)],
        av_frame.width,
        av_frame.height,
        layout.depth,
        colour_matrix(int(av_frame.colorspace), av_frame.height),
        is_full(layout, int(av_frame.color_range)),
        # The height at which no tag means BT.709 is not for the scaler.
        colour_matrix(int(av_frame.colorspace), 0),
    )
    return DeviceFrame(
        surface,
        kernels,
        layout,
        tuple(int(getattr(av_frame, tag)) for tag in _TAGS),
        stream=stream,
        index=index,
        pts=pts,
        time_base=time_base,
        rate=rate,
        rotation=rotation,
        vectors=vectors,
        corrupt=corrupt or av_frame.is_corrupt,
    )


def _joined(*axes: Axis) -> tuple[NDArray[np.int32], ...]:
    """Firsts, weights and taps of axes, one after the other."""
    return (
        np.concatenate([one.first for one in axes]),
        np.concatenate([one.weights.ravel() for one in axes]),
        np.array([one.taps for one in axes], np.int32),
    )
