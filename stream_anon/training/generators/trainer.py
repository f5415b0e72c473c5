"""What the trainers of both generators share: drawing, steadiness, the loop."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor

from stream_anon.training.arch.conceal import Conceal, heatmaps, hints, place
from stream_anon.training.arch.generator import FaceGenerator
from stream_anon.training.data import augment
from stream_anon.training.data.batches import FRAMING, Batch, Faces
from stream_anon.training.data.codes import Prior
from stream_anon.training.data.paintings import PaintingMaker, Paintings
from stream_anon.training.generators import losses
from stream_anon.training.generators.adversarial import AdversarialTrainer
from stream_anon.training.runtime import (
    Progress,
    Threads,
    autocast,
    load_checkpoint,
    save_checkpoint,
    step_generator,
)

log = logging.getLogger(__name__)

JITTER = 0.25
"""Standard deviation in pixels of what is added to the landmarks a generator is told.

A generator that is told them badly learns not to follow them.
"""

FAR_SHARE = 0.4
"""Share of the steps in which judges see faces from afar."""

FAR_SIDES = (40, 100)
"""Side in pixels of the crop then."""


WIDE = 1.2
"""How much more a critic sees than a recogniser where it looks at hair and outline."""


class Glance:
    """How the judges are shown a batch: aligned, as recognisers want it, and a little off.

    Mirrored half of the time, turned, zoomed and moved by a little, so that no single view of a
    judge is met by heart; the same for whatever is shown. Now and then with as few pixels as a
    face has in a video: an identity that is drawn in its finest strokes is gone there, and what
    remains is the surroundings', which link one clip to another.

    Args:
        landmarks: (n,5,2), of the batch.
        rng: Source of randomness.
        crop_scale: How much more than a recogniser wants is shown: hair and outline, too.

    Attributes:
        landmarks: (n,5,2), where they lie in what is shown.
    """

    def __init__(self, landmarks: Tensor, rng: Generator, crop_scale: float = 1.0) -> None:
        off = augment.random_affine(
            len(landmarks), rng, turn=0.05, zoom=0.05, shift=2.0, crop_scale=crop_scale
        )
        self._matrix = augment.chain(off, augment.alignment(landmarks))
        self._mirrored = augment.uniform((1,), -1.0, 1.0, rng).item() > 0
        far = augment.uniform((1,), 0.0, 1.0, rng).item() < FAR_SHARE
        self._side = int(augment.uniform((1,), *FAR_SIDES, rng).item()) if far else augment.SIZE
        points = augment.warp_points(landmarks, self._matrix)
        self.landmarks = augment.mirror_points(points) if self._mirrored else points

    def __call__(self, images: Tensor) -> Tensor:
        """(n,3,128,128) of the batch's crops to (n,3,128,128) of aligned faces."""
        if self._side < augment.SIZE:
            images = augment.blurred(images, self._side)
        seen = augment.warp(images, self._matrix)
        return seen.flip(3) if self._mirrored else seen


class FaceTrainer(ABC):
    """A generator in training.

    Attributes:
        faces: The training images.
        conceal: The generator's bottleneck.
        adversary: Generator, critic, averages.
        stage: Name of the stage; its checkpoint is ``<stage>.pt``.
        number: Of the stage, for its randomness.
        painter: Paints what the generator starts from; None where it starts from nothing.
        progress: How much of the run is done, in [0, 1].
    """

    stage: str
    number: int
    progress: float = 0.0
    painter: PaintingMaker | None = None
    faces: Faces
    conceal: Conceal
    adversary: AdversarialTrainer

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self.faces.device

    @abstractmethod
    def generator(self) -> FaceGenerator:
        """The net that draws."""

    @abstractmethod
    def average(self) -> FaceGenerator:
        """The running average of the net that draws: what ships."""

    @abstractmethod
    def prior(self) -> Prior:
        """The public prior over the codes that it draws from."""

    @abstractmethod
    def shown_codes(self, batch: Batch, rng: Generator) -> list[Tensor]:
        """Codes (n,d) for a sample sheet: the faces' own, then three of nobody."""

    @abstractmethod
    def step(self, batch: Batch, rng: Generator) -> dict[str, float]:
        """Critic's step, then the generator's; what is worth a progress line."""

    def draw(
        self, batch: Batch, code: Tensor, rng: Generator, paintings: Paintings | None = None
    ) -> tuple[Tensor, Tensor]:
        """New faces, and the images with them pasted in; landmarks jitter by `JITTER` px.

        Args:
            batch: The images.
            code: (n,d) who is asked for.
            rng: Source of randomness.
            paintings: What the generator starts from, and what is painted over its drawing.
        """
        noise = torch.randn(batch.landmarks.shape, generator=rng, device=self.device)
        points = batch.landmarks + JITTER * noise
        context, colours = self.conceal(batch.images, batch.valid)
        context = context.contiguous(memory_format=torch.channels_last)
        with autocast(self.device):
            face = self.generator()(
                context, heatmaps(points), hints(colours, points), place(points), code,
                None if paintings is None else paintings.drawing,
            )  # fmt: skip
        face = face.float()
        return face, self.paste(batch, face if paintings is None else paintings.put(face))

    def paste(self, batch: Batch, face: Tensor) -> Tensor:
        """The images with faces (n,3,128,128) pasted in."""
        paint = self.conceal.paint
        return (paint * face + (1 - paint) * batch.images) * batch.valid

    def unsteadiness(
        self,
        batch: Batch,
        face: Tensor,
        code: Tensor,
        rng: Generator,
        paintings: Paintings | None = None,
    ) -> Tensor:
        """Half of the batch moved a little and drawn again, against the moved drawing."""
        half = len(face) // 2
        matrix = augment.random_affine(half, rng, turn=0.04, zoom=0.03, shift=2.0)
        moved = Batch(
            augment.warp(batch.images[:half], matrix),
            (augment.warp(batch.valid[:half], matrix) > 0.99).float(),
            augment.warp_points(batch.landmarks[:half], matrix),
            batch.index[:half],
        )
        shown = None if paintings is None else paintings.first(half).moved(matrix)
        again, _ = self.draw(moved, code[:half], rng, shown)
        there = augment.warp(face[:half].detach(), matrix)
        everywhere = torch.ones(half, device=self.device)
        return losses.pixels(again, there, self.conceal.inside * batch.valid[:half], everywhere)


class Gossip:
    """Train one generator in several processes that never wait for each other.

    Now and then a process leaves its weights in a shared folder and moves half
    way to those of the others (gossip averaging, Blot et al. 2016). On a busy
    CPU this makes use of cores where threads would wait for the slowest.

    Args:
        folder: The shared folder.
        name: This process's own file in it.
        every: Steps between two exchanges.
    """

    def __init__(self, folder: Path, name: str, every: int = 40) -> None:
        self.folder = folder
        self.name = name
        self.every = every
        self._seen: dict[Path, float] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def exchange(self, adversary: AdversarialTrainer) -> None:
        """Leave the weights and take half of each newer neighbour's."""
        nets = {
            "generator": adversary.generator,
            "critic": adversary.critic,
            "feature_critic": adversary.feature_critic,
            "average": adversary.average,
        }
        for path in self.folder.glob("*.pt"):
            stamp = path.stat().st_mtime
            if path.stem == self.name or self._seen.get(path, 0.0) >= stamp:
                continue
            self._seen[path] = stamp
            theirs = load_checkpoint(path, adversary.device)
            with torch.no_grad():
                for key, net in nets.items():
                    for name, value in net.state_dict().items():
                        if value.dtype.is_floating_point:
                            value.lerp_(theirs[key][name], 0.5)
        state = {key: net.state_dict() for key, net in nets.items()}
        save_checkpoint(self.folder / f"{self.name}.pt", state)


def train(
    trainer: FaceTrainer,
    folder: Path,
    *,
    images: int,
    batch: int = 32,
    seed: int = 0,
    decay_from: float = 0.75,
    threads: int = 0,
    checkpoint_seconds: float = 240.0,
    on_checkpoint: Callable[[FaceTrainer], None] | None = None,
    gossip: Gossip | None = None,
) -> None:
    """Train, or resume, until ``images`` were shown.

    Args:
        trainer: What is trained.
        folder: Where ``<stage>.pt`` lies.
        images: How many in all.
        batch: Images a step.
        seed: Of the whole stage.
        decay_from: Share of the run after which the learning rate falls linearly.
        threads: Most CPU threads, fewer beside busy neighbours; 0 leaves torch's number.
        checkpoint_seconds: How often the checkpoint and a sheet are written.
        on_checkpoint: Called after each checkpoint.
        gossip: Other processes that train the same generator with other seeds.
    """
    path = folder / f"{trainer.stage}.pt"
    adversary = trainer.adversary
    if path.exists():
        adversary.restore(load_checkpoint(path, trainer.device))
        log.info("%s: resumed at step %d", trainer.stage, adversary.step)
    steps = images // batch
    progress = Progress(trainer.stage, images)
    written = adapted = time.monotonic()
    cores = Threads(threads)
    while adversary.step < steps:
        if time.monotonic() - adapted > 5:
            cores.adapt(time.monotonic() - adapted)
            adapted = time.monotonic()
        done = trainer.progress = adversary.step / steps
        adversary.set_rate(min(1.0, max(0.02, (1 - done) / (1 - decay_from))))
        rng = step_generator(seed, trainer.number, adversary.step, trainer.device)
        shown = trainer.faces.batch(batch, rng, **FRAMING)
        walled = augment.surroundings(shown.images, 1 - trainer.conceal.paint, rng)
        scene = augment.scenery(walled, rng) * shown.valid
        shown = replace(shown, images=scene.contiguous(memory_format=torch.channels_last))
        progress.add(batch, trainer.step(shown, rng))
        progress.report(adversary.step * batch)
        if gossip is not None and adversary.step % gossip.every == 0:
            gossip.exchange(adversary)
        if time.monotonic() - written > checkpoint_seconds or adversary.step == steps:
            written = time.monotonic()
            save_checkpoint(path, adversary.state())
            if on_checkpoint is not None:
                on_checkpoint(trainer)
