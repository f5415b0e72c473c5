"""A decoded frame on a device: NV12 or P010 that kernels read and write.

The same class on a GPU, through CuPy, and on the CPU, through the g++ shim or the kernels' NumPy
twins: the kernels' module decides where arrays live. The planes leave the device once, when they
are to be encoded.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import StreamAnonError
from stream_anon.kernels.cuda import Fetch
from stream_anon.kernels.faces import BLOCKS
from stream_anon.kernels.maps import axis, joined, thumbnail_axes
from stream_anon.kernels.planes import Batch
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.leaving import TAGS, on_card, on_host, tagged
from stream_anon.media.device.order import Order
from stream_anon.media.device.plans import crop_plans, outline_transforms, paste_plans, tiles_of
from stream_anon.media.device.surface import Surface, batch_of, from_planar, to_planar
from stream_anon.media.frame import Frame, Owners, Pixels, Transforms
from stream_anon.media.patches import check_patches, check_transforms
from stream_anon.media.pixel_formats import LAYOUTS, Layout, colour_matrix, is_full, plane_view

FORMATS = {
    name for name, one in LAYOUTS.items()
    if (one.sub_x, one.sub_y) == (1, 1) and one.chroma and not one.alpha and one.depth in (8, 10)
}  # fmt: skip
"""Pixel formats that can go to a device: 4:2:0 of 8 or 10 bits without opacity."""


class DeviceFrame(Frame):
    """A frame whose planes lie on a device.

    Args:
        surface: its planes, its own: no decoder reads them or writes to them.
        kernels: of the device that they lie on.
        layout: planar format that it was decoded to and is handed on in.
        tags: what ``TAGS`` names, as ``av.VideoFrame`` has them.
        stream, index, pts, time_base, rotation: as of ``Frame``.
        rate: likewise; None for one frame in each unit of ``time_base``.
        vectors: (n, 5) float32 as ``motion`` returns them, or None.
        corrupt: the frame is damaged.
        pooled: the planes are of ``kernels.pool``, and go back there with the frame.
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
        pooled: bool = False,
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
        self._leaving: list[Fetch] | None = None
        self._luma: tuple[int, Fetch] | None = None
        # What is asked for from here on, in whichever queue, comes behind what filled the planes.
        self._order = Order(kernels.streams)
        self._batch = batch_of(kernels["maps"], [surface])
        self._shown = batch_of(kernels["maps"], [surface], thumbnail=True)
        if pooled:
            tables = self._batch, self._shown
            weakref.finalize(
                self, kernels.pool.give, surface.planes, self._order.behind, tables
            ).atexit = False
        if kernels.luma_step is not None:
            # A favour: whoever asks for it finds out what is wrong, and what becomes of that.
            with suppress(RuntimeError, MemoryError, StreamAnonError):
                self._luma = kernels.luma_step, self._begin_luma(kernels.luma_step)
        self._order.filled()

    @property
    def nbytes(self) -> int:
        """Memory that the frame's planes take."""
        return self._surface.nbytes

    @property
    def full_range(self) -> bool:
        """Samples use the whole range."""
        return self._surface.full

    @property
    def layout(self) -> Layout:
        """The planar format that it stands for."""
        return self._layout

    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole frame scaled to ``(height, width, 3)``, BGR, 0-255."""
        with self._order.reading("look"):
            on_its_way = self._kernels["maps"].fetch(self._thumbnail(width, height))
        found: Pixels = on_its_way.wait()[0]
        return found

    def lend_thumbnail(self, width: int, height: int, take: Callable[[Any], Any]) -> Any:
        """The same where it lies: what ``take`` makes of an array that knows DLPack."""
        with self._order.reading("look"):
            out = self._thumbnail(width, height)
            made = self._kernels.streams.record()
        # Whoever takes it has queues of its own, which know nothing of ours.
        self._kernels.streams.finish(made)
        return take(out[0])

    def _thumbnail(self, width: int, height: int) -> Any:
        module, batch = self._kernels["maps"], self._shown
        key = ("thumbnail", self.width, self.height, width, height)
        tables = self._kernels.table(
            key, lambda: joined(*thumbnail_axes(self.width, self.height, width, height))
        )
        out = module.zeros((1, height, width, 3), np.uint8)
        module.launch(
            "map_thumbnail", width * height, batch.addresses, batch.geometry, batch.colours,
            np.int32(1), np.int32(width), np.int32(height), *tables, out,
        )  # fmt: skip
        return out

    def luma(self, step: int) -> Pixels:
        """Every ``step``-th luma sample of every ``step``-th row, 8 bit, in host memory."""
        self._kernels.luma_step = step
        ahead, self._luma = self._luma, None
        if ahead is not None and ahead[0] == step and self._order.as_filled:
            on_its_way = ahead[1]
        else:
            with self._order.reading("look"):
                on_its_way = self._begin_luma(step)
        found: Pixels = on_its_way.wait()[0]
        return found

    def _begin_luma(self, step: int) -> Fetch:
        module, batch = self._kernels["maps"], self._batch
        width, height = -(-self.width // step), -(-self.height // step)
        out = module.zeros((1, height, width), np.uint8)
        module.launch(
            "map_luma", width * height, batch.addresses, batch.geometry, np.int32(1),
            np.int32(step), np.int32(width), np.int32(height), out,
        )  # fmt: skip
        return module.fetch(out)

    def motion(self) -> NDArray[np.float32] | None:
        """Block motion as the decoder exported it, or None; see ``Frame.motion``."""
        return self._vectors

    def crops(self, transforms: Transforms, size: int, extent: float) -> Pixels:
        """Cut aligned squares; see ``Frame.crops``.

        Raises:
            ValueError: a transform is singular or not finite.
        """
        return self.crops_of([self], np.zeros(len(transforms), np.intp), transforms, size, extent)

    def paste(self, crops: Pixels, masks: Pixels, transforms: Transforms, extent: float) -> None:
        """Blend crops back in place, where their masks say; see ``Frame.paste``.

        A chroma sample is replaced as far as the most replaced of its luma samples.

        Raises:
            ValueError: shapes or types do not fit together, or a transform is singular.
        """
        owners = np.zeros(len(transforms), np.intp)
        self.paste_into([self], owners, crops, masks, transforms, extent)

    def shares(self, kernels: object) -> bool:
        """See ``Frame.shares``."""
        return kernels is self._kernels

    def goes_with(self, other: Frame) -> bool:
        """Whether one launch can serve both: they lie on the same device."""
        return isinstance(other, DeviceFrame) and other._kernels is self._kernels

    def crops_of(
        self, frames: Sequence[Frame], owners: Owners, transforms: Transforms, size: int,
        extent: float, *, resident: bool = False,
    ) -> Pixels:  # fmt: skip
        """One launch; see ``Frame.crops_of``."""
        transforms = check_transforms(transforms)
        if not len(transforms):
            return np.empty((0, size, size, 3), np.uint8)
        plans = np.concatenate([
            crop_plans(transforms[owners == n], size, extent, one.width, one.height, n)
            for n, one in enumerate(frames)
        ])  # fmt: skip
        # Plans are frame by frame; the crops come as they were asked for.
        plans = plans[np.argsort(np.argsort(owners, kind="stable"), kind="stable")]
        module, count = self._kernels["faces"], len(transforms)
        with self._together(frames, writing=False) as batch:
            out = module.zeros((count, size, size, 3), np.uint8)
            module.launch(
                "face_crop", count * size * size, batch.addresses, batch.geometry, batch.colours,
                module.put(plans), np.int32(count), np.int32(size), out,
            )  # fmt: skip
            if resident:
                return cast(Pixels, out)
            on_its_way = module.fetch(out)
        return on_its_way.wait()

    def paste_into(
        self, frames: Sequence[Frame], owners: Owners, crops: Pixels, masks: Pixels,
        transforms: Transforms, extent: float,
    ) -> None:  # fmt: skip
        """One launch; see ``Frame.paste_into``. Memory is found before any frame is changed."""
        transforms = check_transforms(transforms)
        check_patches(crops, masks, len(transforms))
        size, grid = crops.shape[1], masks.shape[1]
        rows, numbers = [], []
        for n, one in enumerate(frames):
            own = np.flatnonzero(owners == n)
            if len(own):
                plans, kept = paste_plans(
                    masks[own], transforms[own], size, extent, one.width, one.height, n
                )
                rows.append(plans)
                numbers.append(own[kept])
        if not sum(map(len, rows)):
            return
        plans, kept = np.concatenate(rows), np.concatenate(numbers)
        tiles, lists = tiles_of(plans)
        module = self._kernels["faces"]
        with self._together(frames, writing=True) as batch:
            module.launch(
                "face_paste", len(tiles) * BLOCKS, batch.addresses, batch.geometry, batch.colours,
                module.put(plans), module.put(tiles), np.int32(len(tiles)), module.put(lists),
                module.take(crops, kept) if module.owns(crops) else module.put(crops[kept]),
                np.int32(size), module.put(masks[kept]), np.int32(grid),
            )  # fmt: skip

    @contextmanager
    def _together(self, frames: Sequence[Frame], *, writing: bool) -> Iterator[Batch]:
        """The faces' queue, behind what all of these frames wait for."""
        alike = cast("Sequence[DeviceFrame]", frames)
        with Order.together("paint", [one._order for one in alike], writing=writing):
            if writing:
                for one in alike:
                    one._leaving = None
            surfaces = [one._surface for one in alike]
            yield self._batch if alike == [self] else batch_of(self._kernels["faces"], surfaces)

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
        x, y = (self.width, small[0], across), (self.height, small[1], down)
        module, batch = self._kernels["covers"], self._batch
        with self._together([self], writing=True):
            sums = module.zeros((1, 3, self.height, across), np.int64)
            levels = module.zeros((1, 3, down, across), np.int32)
            module.launch(
                "cover_rows", 3 * self.height * across, batch.addresses, batch.geometry,
                np.int32(1), np.int32(self.height), np.int32(across), *self._blocks(x), sums,
            )  # fmt: skip
            module.launch(
                "cover_blocks", 3 * down * across, sums, np.int32(1), np.int32(self.height),
                np.int32(across), np.int32(down), *self._blocks(y), levels,
            )  # fmt: skip
            self._paint(levels, across, down)

    def blacken(self) -> None:
        """Replace the whole frame by black."""
        unit = 1 << (self._layout.depth - 8)
        black = 0 if self._surface.full else 16 * unit
        levels = np.array([black, 128 * unit, 128 * unit], np.int32).reshape(1, 3, 1, 1)
        with self._together([self], writing=True):
            self._paint(self._kernels["covers"].put(levels), 1, 1)

    def _blocks(self, side: tuple[int, int, int]) -> tuple[Any, ...]:
        """Tables of a side of luma and of chroma in so many blocks."""
        whole, small, blocks = side
        return self._kernels.table(
            ("blocks", *side), lambda: joined(axis(whole, blocks), axis(small, blocks))
        )

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
        transforms = outline_transforms(box, self.width, self.height)
        patches = np.zeros((4, 1, 1, 3), np.uint8)
        patches[...] = (90, 230, 120)
        self.paste(patches, np.full((4, 128, 128), 255, np.uint8), transforms, 1.0)

    def finish(self) -> None:
        """Begin to copy the planes to the host; see ``Frame.finish``."""
        # A favour: what is wrong is found out by whoever needs the planes.
        with suppress(RuntimeError, MemoryError, StreamAnonError):
            self._leaving = self._leave()

    def _leave(self) -> list[Fetch]:
        with self._order.reading("copy"):
            return [self._kernels["maps"].fetch(plane) for plane in self._surface.planes]

    def to_av(self) -> Any:
        """The frame as the encoder takes it (``av.VideoFrame``), copied to the host once."""
        leaving, self._leaving = self._leaving or self._leave(), None
        out = av.VideoFrame(self.width, self.height, self._layout.name)
        planes = to_planar(self._surface, [one.wait() for one in leaving])
        for number, plane in enumerate(planes):
            plane_view(out, self._layout, number)[...] = plane
        return self._tagged(out)

    def encodable(self, formats: Collection[str]) -> Any:
        """As it lies, on the card or copied to the host once; see ``Frame.encodable``."""
        name = "nv12" if self._layout.depth == 8 else "p010le"
        if self.width % 2 or self.height % 2 or not {name, "cuda"} & set(formats):
            return self.to_av()
        if "cuda" in formats and self.device.startswith("cuda"):
            return self._tagged(on_card(self._surface, self._kernels, self._order, name))
        self.finish()
        leaving, self._leaving = self._leaving or [], None
        return self._tagged(on_host(self._surface, [one.wait() for one in leaving], name))

    def _tagged(self, out: Any) -> Any:
        return tagged(out, self._tags, self.pts, self.time_base)


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
    with kernels.streams.on("upload"):
        # The height at which no tag means BT.709 is not for the scaler.
        surface = from_planar(
            kernels["maps"], [plane_view(av_frame, layout, number) for number in range(3)],
            av_frame.width, av_frame.height, layout.depth,
            colour_matrix(int(av_frame.colorspace), av_frame.height),
            is_full(layout, int(av_frame.color_range)),
            colour_matrix(int(av_frame.colorspace), 0), kernels.pool,
        )  # fmt: skip
        tags = tuple(int(getattr(av_frame, tag)) for tag in TAGS)
        return DeviceFrame(
            surface, kernels, layout, tags, stream=stream, index=index, pts=pts,
            time_base=time_base, rate=rate, rotation=rotation, vectors=vectors,
            corrupt=corrupt or av_frame.is_corrupt, pooled=True,
        )  # fmt: skip
