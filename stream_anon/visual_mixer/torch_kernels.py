"""The kernels of ``visual_mixer.cu`` as torch operations, on whatever device torch has.

For ``BatchMixer``: the same interface, the same integers, the same bits as the NumPy twin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stream_anon.kernels.chacha import BLOCK_WORDS, CONSTANTS
from stream_anon.visual_mixer.layout import slots
from stream_anon.visual_mixer.permutation import ORDERS
from stream_anon.visual_mixer.vfe import SCALE

WORD = 0xFFFFFFFF

WIDER = {np.dtype(np.uint32): np.int64, np.dtype(np.uint64): np.int64}
"""torch computes with few unsigned types: words of 32 bits live in 64."""

QUARTERS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


class TorchModule:
    """``kernels.cuda.Module`` in torch operations.

    Args:
        device: where tensors live.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)

    def put(self, array: Any) -> Any:
        """A tensor on the device; one that is there already stays."""
        if isinstance(array, torch.Tensor):
            return array.to(self.device).contiguous()
        wide = array.astype(WIDER.get(array.dtype, array.dtype))
        return torch.from_numpy(np.ascontiguousarray(wide)).to(self.device)

    def get(self, array: Any) -> NDArray[Any]:
        """A copy as a NumPy array."""
        result: NDArray[Any] = array.detach().cpu().numpy().copy()
        return result

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        """Run a kernel by its name in the CUDA source; ``threads`` has no meaning here."""
        plain = [int(a) if isinstance(a, np.integer) else a for a in args]
        kernels: dict[str, Callable[..., None]] = {
            "vm_keystream": _keystream,
            "vm_region_sums": _region_sums,
            "vm_expect": _expect,
            "vm_choose": _choose,
            "vm_mix": _mix,
        }
        kernels[kernel](*plain)


def _keystream(keys: Any, images: int, blocks: int, words: Any) -> None:
    counter = torch.arange(blocks, device=keys.device).expand(images, blocks)
    fixed = [torch.full_like(counter, c) for c in CONSTANTS]
    secret = [keys[:, i : i + 1].expand(images, blocks) for i in range(8)]
    state = [*fixed, *secret, counter, *[torch.zeros_like(counter)] * 3]
    x = list(state)

    def turn(a: int, b: int, c: int, bits: int) -> None:
        x[a] = (x[a] + x[b]) & WORD
        mixed = x[c] ^ x[a]
        x[c] = ((mixed << bits) & WORD) | (mixed >> (32 - bits))

    for _ in range(10):
        for a, b, c, d in QUARTERS:
            turn(a, b, d, 16)
            turn(c, d, b, 12)
            turn(a, b, d, 8)
            turn(c, d, b, 7)
    final = [(after + before) & WORD for after, before in zip(x, state, strict=True)]
    words.copy_(torch.stack(final, dim=2).reshape(images, blocks * BLOCK_WORDS))


def _sixteenths(square: Any) -> Any:
    # torch's square root of float32 is now and then off in the last bit on a CPU. That of float64,
    # rounded to float32, is the IEEE root that the other two take.
    return (square.to(torch.float64).sqrt().to(torch.float32) * SCALE).to(torch.int64)


def _region_sums(
    images: Any,
    count: int,
    height: int,
    width: int,
    region: int,
    columns: int,
    regions: int,
    sums: Any,
) -> None:
    values = images.to(torch.int32)
    here = values[:, :-1, :-1]
    across, down = values[:, :-1, 1:] - here, values[:, 1:, :-1] - here
    size = _sixteenths((across * across + down * down).sum(dim=3))
    row = torch.arange(height - 1, device=values.device) // region
    column = torch.arange(width - 1, device=values.device) // region
    where = (row[:, None] * columns + column[None, :]).reshape(1, -1).expand(count, -1)
    sums.scatter_add_(1, where, size.reshape(count, -1))


def _channels(low: Any, shares: Any) -> Any:
    """(b, ..., 3) channel that comes to each place, for low bytes (b, ...) and shares (b,)."""
    orders = torch.tensor(ORDERS, device=low.device)
    drawn = orders[(low % 6).long()]
    kept = torch.arange(3, device=low.device).expand_as(drawn)
    changed = low < shares.reshape(-1, *[1] * (low.ndim - 1))
    return torch.where(changed[..., None], drawn, kept)


def _expect(
    images: Any, count: int, values: int, places: Any, low: Any, cells: int, samples: int,
    shares: Any, table: Any,
) -> None:  # fmt: skip
    at = places.reshape(-1)[: cells * samples * 3].reshape(cells, samples, 3).long() * 3
    byte = low.reshape(-1)[: cells * samples * 3].reshape(1, cells, samples, 3)
    for i in range(count):
        # An image at a time: the index of a whole batch would be larger than the batch.
        index = at[..., None] + _channels(byte, shares[i : i + 1])[0]
        met = images[i].reshape(-1)[index].to(torch.int32)
        apart = met[:, :, 1:] - met[:, :, :1]
        total = _sixteenths((apart * apart).sum(dim=(2, 3))).sum(dim=1)
        table[i] = total.reshape(table.shape[1:])


def _choose(
    tables: Any, weights: Any, count: int, levels: int, regions: int, wanted: Any, chosen: Any
) -> None:
    table = torch.cummax(tables, dim=1).values
    heavy = table * weights.to(torch.int64)

    def at(threshold: Any) -> tuple[Any, Any]:
        level = (table < threshold[:, None, None]).sum(dim=1).clamp_max(levels - 1)
        return level, heavy.gather(1, level[:, None]).sum(dim=(1, 2))

    low = torch.zeros_like(wanted)
    high = table.amax(dim=(1, 2)) + 1
    while bool((low < high).any()):
        middle = (low + high) // 2
        enough = at(middle)[1] >= wanted
        going = low < high
        high = torch.where(going & enough, middle, high)
        low = torch.where(going & ~enough, middle + 1, low)
    over, more = at(low)
    under, less = at((low - 1).clamp_min(0))
    closer = (more - wanted).abs() <= (wanted - less).abs()
    chosen.copy_(torch.where(closer[:, None], over, under).to(torch.uint8))


def _mix(
    images: Any, words: Any, stride: int, sides: Any, shares: Any, count: int, height: int,
    width: int, region: int, columns: int, regions: int, mixed: Any,
) -> None:  # fmt: skip
    device, size = images.device, height * width
    word = words[:, :size]
    # The last entry stands for "no pixel": its key sorts after every real one.
    padded = torch.cat([word, torch.full((count, 1), WORD, device=device)], dim=1)
    source = torch.zeros((count, size + 1), dtype=torch.int64, device=device)
    row = torch.arange(height, device=device) // region
    column = torch.arange(width, device=device) // region
    side_at = sides[:, (row[:, None] * columns + column[None, :]).reshape(-1)]
    for side in sorted(int(s) for s in torch.unique(sides)):
        places = torch.from_numpy(slots(height, width, side).copy()).to(device)
        bits = max(8, 2 * (side.bit_length() - 1))
        key = padded[:, places] >> bits
        key = torch.where(places < size, key.clamp_max((WORD >> bits) - 1), key)
        numbered = (key << bits) | torch.arange(side * side, device=device)
        order = numbered.sort(dim=2).values & ((1 << bits) - 1)
        come = places.expand(count, -1, -1).gather(2, order)
        found = torch.zeros_like(source)
        found.scatter_(1, places.reshape(1, -1).expand(count, -1), come.reshape(count, -1))
        source[:, :size] = torch.where(side_at == side, found[:, :size], source[:, :size])
    index = source[:, :size, None] * 3 + _channels(word & 0xFF, shares)
    flat = images.reshape(count, size * 3).gather(1, index.reshape(count, -1))
    mixed.copy_(flat.reshape(mixed.shape))
