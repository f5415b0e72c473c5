"""Noisy identity codes where the kernels run: one draw for each track, frozen.

What is frozen is the noisy code. The kernel could add a track's noise, which it draws anew from the
key, to the fresh code of every frame; the differences of those results would be the differences
of the codes, exactly. So only a track's first code is ever given to it, and its key is used once.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.chacha import KEY_BYTES, key_words
from stream_anon.kernels.cuda import MemoryModule
from stream_anon.kernels.noise import EACH, DrawTable

Floats = NDArray[np.float32]

PURPOSE = (0x656F6E73, 0x64692D65, 0)
"""The nonce of these draws."""


def add_noise(
    module: MemoryModule,
    codes: Any,
    owners: NDArray[np.int32],
    keys: Sequence[bytes],
    table: DrawTable,
    bits: int,
) -> Any:
    """Codes plus noise, back on the sphere; two launches for all rows.

    Args:
        module: of ``noise.cu``.
        codes: (n, d) float32, where the module's arrays live or not.
        owners: (n,) int32, numbers of keys.
        keys: of 32 bytes each.
        table: the noise, in steps of the grid.
        bits: the grid's step is 2**-bits; 1 to 20.

    Returns:
        (n, d) float32, where the module's arrays live. Rows of one key took the same noise:
        to release more than one of them gives their differences away.

    Raises:
        ValueError: a shape or number does not fit.
    """
    if codes.ndim != 2 or len(owners) != len(codes) or not 1 <= bits <= 20:
        raise ValueError(f"codes {codes.shape}, {len(owners)} owners, {bits} bits")
    if len(owners) and not 0 <= int(owners.min()) <= int(owners.max()) < len(keys):
        raise ValueError("an owner has no key")
    rows, dimension = codes.shape
    codes = module.put(np.asarray(codes, np.float32) if isinstance(codes, np.ndarray) else codes)
    noisy = module.zeros((rows, dimension), np.int32)
    squares = module.zeros((rows,), np.uint64)
    if not rows:
        return codes
    module.launch(
        "noise_add", rows * -(-dimension // EACH), codes, np.int64(rows), np.int32(dimension),
        np.int32(bits), module.put(owners), module.put(np.stack([key_words(key) for key in keys])),
        module.put(np.array(PURPOSE, np.uint32)), module.put(table.thresholds),
        np.int32(len(table.thresholds)), np.int32(table.low), noisy, squares,
    )  # fmt: skip
    out = module.zeros((rows, dimension), np.float32)
    module.launch(
        "noise_normalise", rows * dimension, noisy, np.int64(rows), np.int32(dimension), squares,
        out,
    )  # fmt: skip
    return out


class TrackCodes:
    """One noisy code for each track, drawn from its first code.

    Args:
        module: of ``noise.cu``.
        table: the noise, in steps of the grid.
        bits: the grid's step is 2**-bits.
    """

    def __init__(self, module: MemoryModule, table: DrawTable, bits: int = 10) -> None:
        self._module, self._table, self._bits = module, table, bits
        self._held: dict[int, Floats] = {}
        self._ended: set[int] = set()

    def of(self, tracks: Sequence[int], codes: Floats) -> Floats:
        """The noisy codes of all faces of a batch, (n, d) float32 of norm 1.

        Args:
            tracks: n numbers; one track may come more than once.
            codes: (n, d) float32 of norm 1; only the first of a track is ever read.

        Raises:
            ValueError: a shape does not fit, or a track has ended.
        """
        if codes.ndim != 2 or len(codes) != len(tracks):
            raise ValueError(f"{len(tracks)} tracks, codes {codes.shape}")
        first: dict[int, int] = {}
        for row, track in enumerate(tracks):
            if track in self._ended:
                raise ValueError(f"track {track} has ended: it is not released a second time")
            if track not in self._held:
                first.setdefault(track, row)
        if first:
            keys = [secrets.token_bytes(KEY_BYTES) for _ in first]
            owners = np.arange(len(first), dtype=np.int32)
            fresh = add_noise(
                self._module, codes[list(first.values())], owners, keys, self._table, self._bits
            )
            self._held.update(zip(first, self._module.get(fresh), strict=True))
        return np.stack([self._held[track] for track in tracks]) if len(tracks) else codes[:0]

    def forget(self, track: int) -> None:
        """The track has ended: drop its code. It is never released again."""
        if self._held.pop(track, None) is not None:
            self._ended.add(track)
