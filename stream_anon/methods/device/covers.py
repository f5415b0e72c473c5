"""The simple covers by kernels: the same methods, computed where a module's arrays live.

Within one level of the methods they stand for (two for the soft cover, three for the blur), which
compute in floating point; the kernels compute in integers, so that every device gives the same
bits. Crops may lie where the kernels work or on the host; what comes lies where they work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import at_least_minimum, minimum_interior
from stream_anon.kernels.cuda import Modules
from stream_anon.methods import soft_cover
from stream_anon.methods.base import Pixels, Rendered, Subject
from stream_anon.methods.blur import Blur
from stream_anon.methods.fill import Fill
from stream_anon.methods.generative.bottleneck import plane_matrix
from stream_anon.methods.pixelate import Pixelate
from stream_anon.methods.soft_cover import GRAIN, GRID, SIDE, SMALL, SoftCover, soft_mask

ONE = 1 << 16
_BINS = 4096
"""Strengths of fine noise that are told apart; the largest is 8 * 255."""


class DevicePixelate(Pixelate):
    """``Pixelate`` by ``cover_cells``.

    Args:
        kernels: of the device.
        cells: as of ``Pixelate``.
    """

    def __init__(self, kernels: Modules, cells: int = 8) -> None:
        super().__init__(cells)
        self.kernels, self._module = kernels, kernels["covers"]

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        module, count, side = self._module, len(crops), self._side
        cells = np.array([self.cells(subject.size) for subject in subjects], np.int32)
        out = module.zeros((count, side, side, 3), np.uint8)
        module.launch(
            "cover_cells", count * side * side, module.put(crops), np.int32(count),
            np.int32(crops.shape[1]), module.put(cells), np.int32(side), out,
        )  # fmt: skip
        return Rendered(out, at_least_minimum(None, count, side))


class DeviceFill(Fill):
    """``Fill`` by ``cover_fit`` and ``cover_plane``.

    Args:
        kernels: of the device.
        colour, crop_size, slope: as of ``Fill``.
    """

    def __init__(
        self,
        kernels: Modules,
        colour: tuple[int, int, int] | None = None,
        crop_size: int = 16,
        *,
        slope: bool = False,
    ) -> None:
        super().__init__(colour, crop_size, slope=slope)
        self.kernels, self._module = kernels, kernels["covers"]

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        module, count, side = self._module, len(crops), crops.shape[1]
        planes = module.zeros((count, 3, 3), np.int64)
        if self._colour is None:
            module.launch(
                "cover_fit", count * 9, module.put(crops), np.int32(count), np.int32(side),
                module.put(_solve(side, self._slope)), planes,
            )  # fmt: skip
        else:
            given = np.zeros((count, 3, 3), np.int64)
            given[:, :, 0] = np.array(self._colour, np.int64) << 32
            planes = module.put(given)
        out = module.zeros((count, side, side, 3), np.uint8)
        module.launch(
            "cover_plane", count * side * side, planes, np.int32(count), np.int32(side), out
        )
        return Rendered(out)


@lru_cache(maxsize=8)
def _solve(side: int, slope: bool) -> NDArray[np.int64]:
    """(3, side * side): from pixels to a mean and two slopes, in units of 2**-32."""
    inside = minimum_interior(side).ravel()
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    basis = np.stack([np.ones(side * side), x.ravel(), y.ravel()], axis=1)
    if not slope:
        basis[:, 1:] = 0.0
    out = np.zeros((3, side * side))
    out[:, inside] = np.linalg.pinv(basis[inside])
    return np.asarray(np.rint(out * 2.0**32), np.int64)


class DeviceBlur(Blur):
    """``Blur`` by ``cover_blur``, with the weights and the width of OpenCV's for bytes.

    Args:
        kernels: of the device.
        deviation: as of ``Blur``.
    """

    def __init__(self, kernels: Modules, deviation: float = 0.22) -> None:
        super().__init__(deviation)
        self.kernels, self._module = kernels, kernels["covers"]

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        module, count, side = self._module, len(crops), crops.shape[1]
        pixels, faces, size = count * side * side, np.int32(count), np.int32(side)
        # A kind of -1 everywhere: nothing is hidden, and so bytes become the blur's own unit.
        kinds = module.put(np.full(side * side, -1, np.int32))
        nothing = module.zeros((count, 1, 3), np.int64)
        none = module.zeros((1, side * side, 1), np.int32)
        shown = module.zeros((count, side, side, 3), np.int32)
        half = module.zeros((count, side, side, 3), np.int32)
        module.launch(
            "cover_shown", pixels, module.put(crops), faces, size, kinds, np.int32(1), nothing,
            none, module.zeros((count,), np.int32), shown,
        )  # fmt: skip
        weights = _blur(self._sigma, 6)
        given, taps = module.put(weights), np.int32(weights.size)
        for down, source, target in ((0, shown, half), (1, half, shown)):
            module.launch(
                "cover_blur", pixels, source, faces, size, given, taps, np.int32(down), target
            )
        out = module.zeros((count, side, side, 3), np.uint8)
        module.launch(
            "cover_finish", pixels, shown, faces, size, module.zeros((side, side), np.int32),
            module.zeros((count,), np.int32), np.int32(0), np.int32(0), out,
        )  # fmt: skip
        return Rendered(out)


class DeviceSoftCover(SoftCover):
    """``SoftCover`` by the kernels of that name, eight launches for all faces.

    Args:
        kernels: of the device.
        grain: as of ``SoftCover``.
    """

    def __init__(self, kernels: Modules, grain: NDArray[np.float32] | None = None) -> None:
        super().__init__(grain)
        self.kernels, self._module = kernels, kernels["covers"]
        kinds, tables = _tables()
        module = self._module
        with kernels.streams.on("paint"):
            self._kinds, self._tables = module.put(kinds), module.put(tables)
            self._blur = module.put(_blur(SIDE / 22))
            self._tile = module.put(np.rint(self._grain * ONE).astype(np.int32))

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``; masks (n, SIDE, SIDE)."""
        module, count = self._module, np.int32(len(crops))
        side, cells = np.int32(SIDE), np.int32(GRID * GRID)
        pixels = len(crops) * SIDE * SIDE

        def fresh(shape: tuple[int, ...], kind: type[np.generic]) -> Any:
            return module.zeros((len(crops), *shape), kind)

        given = module.put(crops)
        means = fresh((GRID * GRID, 3), np.int64)
        module.launch("cover_means", means.size, given, count, side, self._kinds, cells, means)
        small = np.array([subject.size < SMALL for subject in subjects], np.int32)
        shown, half = fresh((SIDE, SIDE, 3), np.int32), fresh((SIDE, SIDE, 3), np.int32)
        module.launch(
            "cover_shown", pixels, given, count, side, self._kinds, cells, means, self._tables,
            module.put(small), shown,
        )  # fmt: skip
        taps = np.int32(self._blur.size)
        module.launch(
            "cover_blur", pixels, shown, count, side, self._blur, taps, np.int32(0), half
        )
        module.launch(
            "cover_blur", pixels, half, count, side, self._blur, taps, np.int32(1), shown
        )
        counts, grains = fresh((_BINS,), np.uint32), fresh((), np.int32)
        bins = np.int32(_BINS)
        module.launch("cover_noise", pixels, given, count, side, self._kinds, bins, counts)
        # Immerkaer, CVIU 1996, with a median; see soft_cover.
        unit, most = np.int32(round(ONE / (0.6745 * 6.0))), np.int32(round(GRAIN * ONE))
        module.launch("cover_level", len(crops), counts, count, bins, unit, most, grains)
        shift = (self._generated * 37) % SIDE
        self._generated += 1
        out = fresh((SIDE, SIDE, 3), np.uint8)
        module.launch(
            "cover_finish", pixels, shown, count, side, self._tile, grains,
            np.int32(3 * shift % SIDE), np.int32(shift), out,
        )  # fmt: skip
        masks = np.broadcast_to(soft_mask(), (len(crops), SIDE, SIDE))
        return Rendered(out, masks)


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Cell of each hidden pixel, and what each pixel takes of the cells: as ``soft_cover`` does.

    Enlarging a grid is linear: what it makes of one cell alone is that cell's weight.
    """
    hidden, cells, map_x, map_y = soft_cover._cells()
    kinds = np.where(hidden, cells, -1).astype(np.int32).ravel()
    weights = np.empty((SIDE * SIDE, GRID * GRID))
    for cell in range(GRID * GRID):
        one = np.zeros(GRID * GRID, np.float32)
        one[cell] = 1.0
        alone = cv2.remap(
            one.reshape(GRID, GRID), map_x, map_y, cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        weights[:, cell] = np.asarray(alone).ravel()
    both = np.stack([weights, weights @ plane_matrix()])
    return kinds, np.rint(both * ONE).astype(np.int32)


@lru_cache(maxsize=8)
def _blur(sigma: float, deviations: int = 8) -> NDArray[np.int32]:
    """The weights of OpenCV's Gaussian, so many deviations wide: 8 for floats, 6 for bytes."""
    taps = round(sigma * deviations + 1) | 1
    weights = np.rint(np.asarray(cv2.getGaussianKernel(taps, sigma)).ravel() * ONE).astype(np.int32)
    weights[taps // 2] += ONE - weights.sum()
    return np.asarray(weights, np.int32)
