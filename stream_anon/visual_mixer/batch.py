"""VisualMixer on a batch of images with the kernels of ``visual_mixer.cu``.

The same search as ``visual_mixer.mix``, image by image in step: bit for bit the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.chacha import BLOCK_WORDS, key_words
from stream_anon.kernels.cuda import Module
from stream_anon.visual_mixer import mix as twin
from stream_anon.visual_mixer import search
from stream_anon.visual_mixer.layout import Layout, layout, triples
from stream_anon.visual_mixer.permutation import FULL_SHARE
from stream_anon.visual_mixer.vfe import SCALE


@dataclass(frozen=True, slots=True, eq=False)
class MixedBatch:
    """Mixed images.

    Attributes:
        images: (b, h, w, 3) uint8 RGB, where the module's arrays live.
        vfe: VFE of each result.
        outcomes: as in ``visual_mixer.Mixed``.
        windows: (b, regions) uint8, sides of the windows.
        channels: (b,) share of pixels whose channels were drawn anew.
    """

    images: Any
    vfe: tuple[float, ...]
    outcomes: tuple[twin.Outcome, ...]
    windows: NDArray[np.uint8]
    channels: NDArray[np.float64]


class BatchMixer:
    """Mixes batches through one loaded module.

    Args:
        module: the kernels of ``visual_mixer.cu``: ``CupyModule`` on a GPU, ``ShimModule``
            in tests.
    """

    def __init__(self, module: Module) -> None:
        self._module = module

    def mix(
        self,
        images: Any,
        keys: Sequence[bytes],
        target: float | None,
        *,
        region: int | None = None,
        smallest: int | None = None,
        channels: float = 1.0,
    ) -> MixedBatch:
        """Mix a batch.

        Args:
            images: (b, h, w, 3) uint8 RGB, b >= 1, an array of NumPy or of the module.
            keys: b of 32 secret bytes, each fresh.
            target: as for ``visual_mixer.mix``, and so are the rest.
            region: side of a region, None by the image's size.
            smallest: smallest window allowed, None half a region's side.
            channels: greatest share of pixels whose channels are drawn anew.

        Raises:
            ValueError: shapes, types or parameters are out of range.
        """
        # NumPy, CuPy and torch name the type alike, and only that.
        kind = str(images.dtype).rpartition(".")[2]
        if len(images.shape) != 4 or images.shape[3] != 3 or kind != "uint8":
            raise ValueError(f"images are (b, h, w, 3) uint8, not {images.shape}")
        count, height, width = (int(n) for n in images.shape[:3])
        if len(keys) != count or count == 0:
            raise ValueError(f"{count} images need as many keys, not {len(keys)}")
        plan = layout(height, width, region, smallest)
        work = _Work(self._module, plan, self._module.put(images), keys)
        share = np.full(count, twin.share_of(channels), np.int32)
        if target is None:
            levels = np.full((count, plan.regions), len(plan.sides) - 1, np.uint8)
            mixed = work.shuffle(levels, share)
            reached = work.sums(mixed).sum(axis=1)
            return _result(plan, mixed, reached, reached, levels, share)

        wanted = twin.goal_of(target) * plan.domain
        table, share = work.prepare(wanted * plan.samples, share)
        least = np.full(count, -1, np.int64)
        best_levels = np.zeros((count, plan.regions), np.uint8)
        open_ = np.ones(count, bool)
        last: NDArray[np.uint8] | None = None
        for turn in range(twin.PASSES):
            levels = work.choose(table, np.full(count, wanted * plan.samples, np.int64))
            if last is not None:
                open_ &= (levels != last).any(axis=1)
            if not open_.any():
                break
            # Images that are done are shuffled again as they were: one launch for all.
            levels[~open_] = best_levels[~open_]
            last = levels
            sums = work.sums(work.shuffle(levels, share))
            reached = sums.sum(axis=1)
            miss = np.abs(reached - wanted)
            better = open_ & ((least < 0) | (miss < least))
            least[better] = miss[better]
            best_levels[better] = levels[better]
            open_ &= miss * search.CLOSE > wanted
            if not open_.any():
                break
            rows = zip(table, levels, sums, strict=True)
            table = np.stack([search.corrected(*row, plan, first=turn == 0) for row in rows])
        if (least * twin.TOLERANCE > wanted).any():
            _land(work, wanted, twin.share_of(channels), best_levels, share)
        mixed = work.shuffle(best_levels, share)
        reached = work.sums(mixed).sum(axis=1)
        return _result(plan, mixed, reached, np.full(count, wanted), best_levels, share)


def _land(
    work: _Work,
    wanted: int,
    most: int,
    levels: NDArray[np.uint8],
    share: NDArray[np.int32],
) -> None:
    """Bring images closer that are not within the tolerance; changes levels and shares."""
    reached = work.sums(work.shuffle(levels, share)).sum(axis=1)
    least = np.abs(reached - wanted)
    full = len(work.plan.sides) - 1, most
    ways = {
        int(i): search.landing(wanted, levels[i].copy(), int(share[i]), int(reached[i]), full)
        for i in np.flatnonzero(least * twin.TOLERANCE > wanted)
    }
    asked = {i: next(way, None) for i, way in ways.items()}
    while any(way is not None for way in asked.values()):
        trial_levels, trial_share = levels.copy(), share.copy()
        for i, way in asked.items():
            if way is not None:
                trial_levels[i], trial_share[i] = way
        total = work.sums(work.shuffle(trial_levels, trial_share)).sum(axis=1)
        for i, way in asked.items():
            if way is None:
                continue
            miss = abs(int(total[i]) - wanted)
            if miss < least[i]:
                least[i], levels[i], share[i] = miss, trial_levels[i], trial_share[i]
            try:
                asked[i] = ways[i].send(int(total[i]))
            except StopIteration:
                asked[i] = None


def _result(
    plan: Layout,
    mixed: Any,
    reached: NDArray[np.int64],
    wanted: NDArray[np.int64],
    levels: NDArray[np.uint8],
    share: NDArray[np.int32],
) -> MixedBatch:
    return MixedBatch(
        mixed,
        tuple(int(r) / (SCALE * plan.domain) for r in reached),
        tuple(twin.verdict(int(r), int(w)) for r, w in zip(reached, wanted, strict=True)),
        np.array(plan.sides, np.uint8)[levels],
        share / FULL_SHARE,
    )


class _Work:
    """The arrays of one batch, and one method per kernel."""

    def __init__(self, module: Module, plan: Layout, images: Any, keys: Sequence[bytes]) -> None:
        self.module, self.plan, self.images = module, plan, images
        self.count = len(keys)
        blocks = -(-plan.height * plan.width // BLOCK_WORDS)
        self.stride = blocks * BLOCK_WORDS
        self.words = module.put(np.zeros((self.count, self.stride), np.uint32))
        secret = module.put(np.stack([key_words(key) for key in keys]))
        module.launch(
            "vm_keystream",
            self.count * blocks,
            secret,
            np.int32(self.count),
            np.int32(blocks),
            self.words,
        )
        places, low = triples(plan.height, plan.width, plan.region, plan.sides[0])
        self.places, self.low = module.put(places), module.put(np.ascontiguousarray(low))
        self.weights = module.put(plan.weights)

    def expect(self, share: NDArray[np.int32], levels: int) -> NDArray[np.int64]:
        """(b, levels, regions) int64 sampled sums of the first levels, never falling."""
        plan = self.plan
        cells = levels * plan.regions
        table = self.module.put(np.zeros((self.count, levels, plan.regions), np.int64))
        values = plan.height * plan.width * 3
        self.module.launch(
            "vm_expect", self.count * cells, self.images, np.int32(self.count), np.int64(values),
            self.places, self.low, np.int32(cells), np.int32(plan.samples),
            self.module.put(share), table,
        )  # fmt: skip
        return np.maximum.accumulate(self.module.get(table), axis=1)

    def prepare(
        self, wanted: int, share: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Tables and shares, as ``visual_mixer.prepare``."""
        weights = self.plan.weights.astype(np.int64)
        levels = len(self.plan.sides)
        table = self.expect(share, levels)
        lower = (share > 0) & (table[:, 0] @ weights > wanted)
        if not lower.any():
            return table, share
        # Images that need no lower share are tried with the others and keep their own.
        none = self.expect(np.zeros_like(share), 1)[:, 0] @ weights
        brackets = [
            search.Bracket(0, int(less), int(high), int(more))
            for less, high, more in zip(none, share, table[:, 0] @ weights, strict=True)
        ]
        going = lower.copy()
        for _ in range(search.SHARE_TRIALS):
            trial = np.array([b.guess(wanted) for b in brackets], np.int32)
            going &= trial != np.array([b.low for b in brackets])
            if not going.any():
                break
            total = self.expect(trial, 1)[:, 0] @ weights
            for i in np.flatnonzero(going):
                brackets[i] = brackets[i].narrowed(int(trial[i]), int(total[i]), wanted)
        used = np.where(lower, [b.low for b in brackets], share).astype(np.int32)
        return self.expect(used, levels), used

    def choose(self, table: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(b, regions) uint8 levels."""
        plan = self.plan
        chosen = self.module.put(np.zeros((self.count, plan.regions), np.uint8))
        goals = self.module.put(wanted)
        self.module.launch(
            "vm_choose", self.count, self.module.put(table), self.weights, np.int32(self.count),
            np.int32(len(plan.sides)), np.int32(plan.regions), goals, chosen,
        )  # fmt: skip
        return self.module.get(chosen).copy()

    def shuffle(self, levels: NDArray[np.uint8], share: NDArray[np.int32]) -> Any:
        """The batch shuffled, where the module's arrays live."""
        plan = self.plan
        mixed = self.module.put(np.zeros((self.count, plan.height, plan.width, 3), np.uint8))
        sides = self.module.put(np.array(plan.sides, np.uint8)[levels])
        self.module.launch(
            "vm_mix", self.count * plan.height * plan.width, self.images, self.words,
            np.int32(self.stride), sides, self.module.put(share), np.int32(self.count),
            np.int32(plan.height), np.int32(plan.width), np.int32(plan.region),
            np.int32(plan.columns), np.int32(plan.regions), mixed,
        )  # fmt: skip
        return mixed

    def sums(self, mixed: Any) -> NDArray[np.int64]:
        """(b, regions) int64: VFE sums in sixteenths."""
        plan = self.plan
        sums = self.module.put(np.zeros((self.count, plan.regions), np.uint64))
        self.module.launch(
            "vm_region_sums", self.count * plan.domain, mixed, np.int32(self.count),
            np.int32(plan.height), np.int32(plan.width), np.int32(plan.region),
            np.int32(plan.columns), np.int32(plan.regions), sums,
        )  # fmt: skip
        return self.module.get(sums).astype(np.int64)
