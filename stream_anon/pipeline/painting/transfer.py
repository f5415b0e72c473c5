"""Faces of one or several frames on the way to a method and back, on the host or on a device.

A method on a device is trusted as little as one on the host. It is given copies: what is compared
and what is painted lies where it cannot reach, and is one and the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from stream_anon.errors import MethodFault
from stream_anon.geometry import ALIGNED_SIDE
from stream_anon.kernels.cuda import MemoryModule
from stream_anon.media.frame import Frame, Owners, Pixels, Transforms
from stream_anon.methods.base import Method


class CropTransfer:
    """One call of a method.

    Args:
        method: that paints.
        frames: all of which go with each other.
    """

    def __init__(self, method: Method, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._size = method.crop_size
        kernels = method.kernels
        self._kernels = kernels
        self._module: MemoryModule | None = None if kernels is None else kernels["faces"]
        self._resident = kernels is not None and frames[0].shares(kernels)

    def queue(self) -> AbstractContextManager[Any]:
        """The device's queue for faces, in which everything below is asked for."""
        return nullcontext() if self._kernels is None else self._kernels.streams.on("paint")

    def cut(self, owners: Owners, transforms: Transforms) -> Pixels:
        """Crops, where the method works if the frames lie there, else on the host."""
        if len(self._frames) == 1 and not self._resident:
            return self._frames[0].crops(transforms, self._size, ALIGNED_SIDE)
        return self._frames[0].crops_of(
            self._frames, owners, transforms, self._size, ALIGNED_SIDE, resident=self._resident
        )

    def given(self, crops: Pixels) -> Pixels:
        """What the method gets of them: it cannot change what was cut."""
        if self._resident and self._module is not None:
            copied: Pixels = self._module.take(crops, np.arange(len(crops)))
            return copied
        crops.setflags(write=False)
        return crops

    def own(self, crops: Pixels) -> Pixels:
        """What the method answered with, out of its reach, and where it can be painted from.

        Raises:
            MethodFault: it is no array of the host's or of the frames' device.
        """
        module = self._module
        if isinstance(crops, np.ndarray) and (module is None or not module.owns(crops)):
            return crops
        if module is None or not module.owns(crops):
            raise MethodFault(f"crops came as {type(crops).__name__}")
        mine: Pixels = module.take(crops, np.arange(len(crops)))
        return mine if self._resident else module.get(mine)

    def to_host(self, crops: Pixels) -> Callable[[], Pixels] | None:
        """Begin to copy crops to the host, to be called for them; None where they are there."""
        module = self._module
        if module is None or not module.owns(crops):
            return None
        return module.fetch(crops).wait

    def rows(self, crops: Pixels, numbers: Owners) -> Pixels:
        """Some of the crops."""
        if self._module is None or not self._module.owns(crops):
            return crops[numbers]
        found: Pixels = self._module.take(crops, numbers)
        return found

    def paste(
        self, owners: Owners, crops: Pixels, masks: Pixels, transforms: Transforms
    ) -> None:
        """Blend crops back into their frames."""
        if len(self._frames) == 1:
            self._frames[0].paste(crops, masks, transforms, ALIGNED_SIDE)
            return
        self._frames[0].paste_into(
            self._frames, owners, crops, masks, transforms, ALIGNED_SIDE
        )
