"""Stage 3: the autoencoder of `dp-image` (DP-Image).

The encoder brings a face to a point on the sphere, the generator draws a face
from that point, five landmarks and the surroundings; no colour of the inside
goes around the code. Codes are disturbed while training, from hardly at all to
a uniform draw, so that every point of the sphere is a face.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from stream_anon.training.arch.conceal import Conceal
from stream_anon.training.arch.encoder import APPEARANCE, AppearanceNet
from stream_anon.training.arch.generator import FaceGenerator, GeneratorSpec
from stream_anon.training.arch.landmarks import shrink
from stream_anon.training.data import augment
from stream_anon.training.data.batches import Batch, Faces
from stream_anon.training.data.codes import Prior
from stream_anon.training.generators import losses
from stream_anon.training.generators.adversarial import AdversarialTrainer
from stream_anon.training.generators.first_guess import fit_guess, fit_projection
from stream_anon.training.generators.identity import SIDES, LossNetworks
from stream_anon.training.generators.trainer import FaceTrainer, Glance
from stream_anon.training.landmarks import landmark_target
from stream_anon.training.runtime import autocast, place


@dataclass(frozen=True)
class AppearanceWeights:
    """Weights of the loss.

    Attributes:
        adversarial: Of the critic's verdict.
        realism: Of the verdict of the critic that looks at the teacher's features.
        features: Recogniser's features, where the code is hardly disturbed.
        pixels: Absolute difference, where the code is hardly disturbed.
        identity: 1 - cosine to the image's own person, where hardly disturbed.
        cycle: 1 - cosine between a code and the code of what was drawn from it.
        spread: Uniformity of the codes on the sphere.
        landmarks: Error of the landmarks found in the new face.
        steady: Difference between drawing a moved image and moving the drawn one.
    """

    adversarial: float = 1.0
    realism: float = 2.0
    features: float = 3.0
    pixels: float = 10.0
    identity: float = 4.0
    cycle: float = 4.0
    spread: float = 0.3
    landmarks: float = 3.0
    steady: float = 6.0


class Autoencoder(nn.Module):
    """The encoder and the generator, trained together."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = AppearanceNet()
        self.generator = FaceGenerator(GeneratorSpec(code=APPEARANCE.code))


def disturb(codes: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
    """Half of the codes nearly as they are, a third disturbed, the rest uniform draws.

    Returns:
        Unit codes (n,d), and (n,) 1 where the face should still be the image's own.
    """
    n, d = codes.shape
    dice = torch.rand(n, generator=rng, device=codes.device)
    noise = torch.randn(n, d, generator=rng, device=codes.device) / d**0.5
    level = augment.uniform((n,), -1.5, 1.5, rng).exp()
    level = torch.where(dice < 0.5, torch.full_like(level, 0.1), level)[:, None]
    noisy = F.normalize(codes + level * noise, dim=1)
    far = (dice > 0.8)[:, None]
    return torch.where(far, F.normalize(noise, dim=1), noisy), (dice < 0.5).float()


class AppearanceTrainer(FaceTrainer):
    """The autoencoder of `dp-image`, one step at a time.

    Args:
        faces: The training images.
        loss_networks: Frozen nets and tables.
        weights: Of the loss.
        rate: Learning rate.
        steady_every: Half a batch is moved and drawn again on every so manieth step.
        start: A trained generator of `identity` to start from.
        first_guess: Whether the linear parts start from their least-squares solution.
    """

    stage = "appearance"
    number = 3

    def __init__(
        self,
        faces: Faces,
        loss_networks: LossNetworks,
        weights: AppearanceWeights,
        *,
        rate: float = 4e-4,
        steady_every: int = 4,
        start: FaceGenerator | None = None,
        first_guess: bool = True,
    ) -> None:
        self.faces = faces
        self.loss_networks = loss_networks
        self.weights = weights
        self.steady_every = steady_every
        self.conceal = Conceal(keep_colour=False).to(self.device)
        self.nets = Autoencoder()
        if start is not None:
            ours = self.nets.generator.state_dict()
            taken = {k: v for k, v in start.state_dict().items() if ours[k].shape == v.shape}
            self.nets.generator.load_state_dict(taken, strict=False)
        if first_guess:
            place(self.nets, self.device)
            fit_projection(self.nets.encoder.projection, faces)
            self.nets.eval()
            fit_guess(
                self.nets.generator.guess,
                faces,
                lambda rows: self.nets.encoder(rows.images * rows.valid),
                self.conceal,
            )
            self.nets.train()
        channels = loss_networks.teacher.channels(SIDES)
        self.adversary = AdversarialTrainer(self.nets, self.device, rate=rate, channels=channels)

    def generator(self) -> FaceGenerator:
        """The net that draws."""
        return self.nets.generator

    def _averages(self) -> Autoencoder:
        nets = self.adversary.average
        assert isinstance(nets, Autoencoder)  # noqa: S101 - it is a copy of self.nets
        return nets

    def average(self) -> FaceGenerator:
        """The running average of the net that draws: what ships."""
        return self._averages().generator

    def average_encoder(self) -> AppearanceNet:
        """The running average of the encoder: what ships."""
        return self._averages().encoder

    def prior(self) -> Prior:
        """Uniform on the sphere: what the codes are spread over while training."""
        d = APPEARANCE.code
        return Prior(torch.zeros(d), torch.eye(d) / d**0.5)

    @torch.no_grad()
    def shown_codes(self, batch: Batch, rng: Generator) -> list[Tensor]:
        """The faces' own, then three of nobody."""
        n, d = len(batch.images), APPEARANCE.code
        rows = [self.average_encoder().eval()(batch.images)]
        for _ in range(3):
            noise = torch.randn(1, d, generator=rng, device=self.device)
            rows.append(F.normalize(noise, dim=1).expand(n, -1))
        return rows

    def step(self, batch: Batch, rng: Generator) -> dict[str, float]:
        """Critic's step, then the autoencoder's."""
        w, loss_networks, adversary = self.weights, self.loss_networks, self.adversary
        seen = augment.relight(batch.images, rng, 0.5) * batch.valid
        with autocast(self.device):
            code = self.nets.encoder(seen.contiguous(memory_format=torch.channels_last))
        given, own = disturb(code, rng)
        face, pasted = self.draw(batch, given, rng)
        real = adversary.view(batch.images, batch.valid, batch.landmarks, rng)
        shown = adversary.view(pasted, batch.valid, batch.landmarks, rng)
        log_values = adversary.critic_step(real, shown)

        adversary.critic.requires_grad_(False)
        half = len(own) // 2
        mine = own[:half] > 0
        glance = Glance(batch.landmarks, rng)
        seen_new, seen_old = glance(pasted), glance(batch.images)
        with autocast(self.device):
            verdict, _ = adversary.critic(shown)
            points = loss_networks.landmarker(shrink(seen_new))[:, :10]
            person, features = loss_networks.teacher.run(seen_new[:half], SIDES)
            again = self.nets.encoder(pasted[half:])
            with torch.no_grad():
                _, there = loss_networks.teacher.run(seen_old[:half], SIDES)
        everyone = own[:half][mine]
        adversarial = -verdict.mean()
        identity = (
            losses.toward(person[mine], loss_networks.codes[batch.index[:half][mine]])
            if len(everyone)
            else adversarial.new_zeros(())
        )
        feature = losses.matched([f[mine] for f in features], [f[mine] for f in there], everyone)
        log_values["critic2"] = adversary.feature_step(there, features)
        with autocast(self.device):
            real_enough = adversary.realism(features)
        pixel = losses.pixels(pasted, batch.images, self.conceal.paint * batch.valid, own)
        cycle = losses.toward(again, given[half:].detach())
        spread = losses.spread_out(code)
        landmark = F.smooth_l1_loss(points.float(), landmark_target(glance.landmarks), beta=0.05)
        loss = (
            w.adversarial * adversarial
            + w.realism * real_enough
            + w.identity * identity
            + w.features * feature
            + w.pixels * pixel
            + w.cycle * cycle
            + w.spread * spread
            + w.landmarks * landmark
        )
        if adversary.step % self.steady_every == 0:
            steady = self.unsteadiness(batch, face, given.detach(), rng)
            loss = loss + w.steady * steady
            log_values["steady"] = steady.item()
        adversary.generator_step(loss)
        return log_values | {
            "adv": adversarial.item(),
            "adv2": real_enough.item(),
            "id": 1 - identity.item(),
            "cycle": 1 - cycle.item(),
            "spread": spread.item(),
            "pix": pixel.item(),
            "feat": feature.item(),
            "lm": landmark.item(),
        }
