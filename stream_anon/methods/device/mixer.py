"""VisualMixer where the frames lie: one shuffle for each track, kept on the device.

The windows are searched on the host, once for a track, by the very code of ``visual_mixer``; every
frame of the track is then one look-up for each value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import MethodFault
from stream_anon.kernels.cuda import MemoryModule, Modules
from stream_anon.methods.base import Pixels, Rendered, Subject
from stream_anon.methods.visual_mixer import VisualMixer, grid_side
from stream_anon.privacy.randomness import KEY_BYTES, SecureRandom
from stream_anon.track_state import Part
from stream_anon.visual_mixer.mix import mix


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """A track's permutation, over the whole crop, where the kernels read it."""

    side: int
    index: Any
    module: MemoryModule

    def wipe(self) -> None:
        """Overwrite it, behind everything that still reads it."""
        self.module.write(self.index, self.module.host(self.index.shape, np.int32))


class DeviceVisualMixer(VisualMixer):
    """``VisualMixer`` by ``cover_cells`` and ``cover_gather``, two launches for all faces.

    Args:
        kernels: of the device.
        vfe, crop_size, random: as of ``VisualMixer``.

    Raises:
        UsageError: as from ``VisualMixer``.
    """

    def __init__(
        self,
        kernels: Modules,
        vfe: float | None = None,
        crop_size: int = 112,
        random: SecureRandom | None = None,
    ) -> None:
        super().__init__(vfe, crop_size, random)
        self.kernels, self._module = kernels, kernels["covers"]
        self._kept: Part[_Kept] = Part(wipe=self._wiped)

    def _wiped(self, kept: _Kept) -> None:
        with self._paint():
            kept.wipe()

    def _paint(self) -> Any:
        kernels = self.kernels
        assert kernels is not None  # noqa: S101 - set when this was made
        return kernels.streams.on("paint")

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        module, size, count = self._module, self.crop_size, len(crops)
        if crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8:
            raise MethodFault(f"visual-mixer takes {size} px crops, not {crops.shape}")
        sides = []
        for subject in subjects:
            kept = self._kept.get(subject.state)
            sides.append(grid_side(subject.size, size) if kept is None else kept.side)
        # The second face of a new track, in a later frame of the batch, takes the first one's grid.
        first = {id(s.state): side for s, side in reversed(list(zip(subjects, sides, strict=True)))}
        sides = [first[id(subject.state)] for subject in subjects]
        coarse = module.zeros((count, size, size, 3), np.uint8)
        module.launch(
            "cover_cells", count * size * size, module.put(crops), np.int32(count), np.int32(size),
            module.put(np.array(sides, np.int32)), np.int32(size), coarse,
        )  # fmt: skip
        known = [self._index(n, subject, sides[n], coarse) for n, subject in enumerate(subjects)]
        addresses = np.array([module.address(one.index) for one in known], np.uint64)
        out = module.zeros((count, size, size, 3), np.uint8)
        values = 3 * size * size
        module.launch(
            "cover_gather", count * values, coarse, np.int32(count), np.int32(values),
            module.put(addresses), out,
        )  # fmt: skip
        return Rendered(out)

    def _index(self, number: int, subject: Subject, side: int, coarse: Any) -> _Kept:
        kept = self._kept.get(subject.state)
        if kept is None:
            at = _corners(side, self.crop_size)
            one = self._module.get(self._module.take(coarse, np.array([number])))[0]
            small = np.ascontiguousarray(one[at[:, None], at])
            # The key lives for this call only: the permutation is all that is needed later.
            found = mix(small, self._random.bytes(KEY_BYTES), self._target)
            index = self._module.put(_spread(found.index, side, self.crop_size))
            kept = self._kept.put(subject.state, _Kept(side, index, self._module))
        return kept

    def close(self) -> None:
        """See ``Method.close``. What states still hold is wiped with them."""
        self._kept = Part(wipe=self._wiped)
        super().close()


def _corners(side: int, size: int) -> NDArray[np.intp]:
    """First pixel of each of ``side`` cells along ``size``, as ``cover_cells`` divides them."""
    return -(-np.arange(side) * size // side)


def _spread(index: NDArray[np.int32], side: int, size: int) -> NDArray[np.int32]:
    """A permutation of a grid's values as one look-up for each value of the crop over it."""
    at = np.arange(size) * side // size
    wanted = index.reshape(side, side, 3)[at[:, None], at]
    row, rest = np.divmod(wanted, 3 * side)
    column, colour = np.divmod(rest, 3)
    corners = _corners(side, size)
    out = (corners[row] * size + corners[column]) * 3 + colour
    return np.ascontiguousarray(out, np.int32).reshape(-1)
