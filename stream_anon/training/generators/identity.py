"""Stage 2: the generator of `identity` (IdentityDP).

It learns to draw the person that a code asks for into a context it did not
choose: a third of the time the image's own person (so that there is an
answer to compare with), else another one, a blend of two, or a draw from the
public prior. It is paid for the asked identity and fined for the original one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stream_anon.alignment.mesh import SIDE as MESH_SIDE
from stream_anon.training.arch.conceal import Conceal
from stream_anon.training.arch.encoder import Encoder
from stream_anon.training.arch.generator import FaceGenerator
from stream_anon.training.arch.landmarks import LandmarkNet, shrink
from stream_anon.training.arch.mesh import MeshNet, crop
from stream_anon.training.arch.recogniser import OnnxRecogniser
from stream_anon.training.data import augment
from stream_anon.training.data.batches import Batch, Faces
from stream_anon.training.data.codes import Prior
from stream_anon.training.data.paintings import PaintingMaker, Paintings
from stream_anon.training.generators import losses
from stream_anon.training.generators.adversarial import AdversarialTrainer
from stream_anon.training.generators.first_guess import fit_guess
from stream_anon.training.generators.trainer import WIDE, FaceTrainer, Glance
from stream_anon.training.landmarks import landmark_target
from stream_anon.training.runtime import autocast

HELD = 0.5
"""Share of the weight of the asked identity that is waived where the painting is what ships."""

MESH_CROP = (1.35, 1.65)
"""Side of what the mesh network is shown over the side of the mesh."""

SIDES = (56, 28, 14)
"""Sides at which the judge's features are compared."""


@dataclass(frozen=True)
class IdentityWeights:
    """Weights of the generator's loss.

    Attributes:
        adversarial: Of the critic's verdict.
        realism: Of the verdict of the critic that looks at the teacher's features.
        features: The judge's features, where the code is the image's own.
        pixels: Absolute difference, where the code is the image's own.
        identity: 1 - cosine to the asked code.
        away: Hinge on the cosine to the original person, where another was asked.
        away_margin: Where that hinge begins.
        colour: 4x4 colours of the inside.
        landmarks: Error of the landmarks found in the new face.
        steady: Difference between drawing a moved image and moving the drawn one.
        apart: What two new faces in one image have in common beyond the codes asked of them.
        mesh: The mesh found in a painted face against the one that was painted.
        direction: Distance of where the new head looks from where the old one did.
        openings: Openings of mouth and eyes, found against painted.
        rim: Difference of the colours between the minimum mask and the paint mask's end.
    """

    adversarial: float = 4.0
    realism: float = 4.0
    features: float = 8.0
    pixels: float = 6.0
    identity: float = 3.0
    away: float = 4.0
    away_margin: float = -0.05
    colour: float = 3.0
    landmarks: float = 16.0
    steady: float = 6.0
    apart: float = 18.0
    mesh: float = 2.0
    direction: float = 6.0
    openings: float = 4.0
    rim: float = 2.0


@dataclass(frozen=True)
class LossNetworks:
    """Frozen nets and tables the generator is judged with.

    Attributes:
        teacher: The recogniser whose code space is used.
        landmarker: Finds five landmarks.
        codes: (n,d) teacher's codes of every row of the pack.
        prior: Public prior over those codes.
        student: A second recogniser of the same space, or None.
        mesher: Finds meshes; None where no faces are painted.
    """

    teacher: OnnxRecogniser
    landmarker: LandmarkNet
    codes: Tensor
    prior: Prior
    student: Encoder | None = None
    mesher: MeshNet | None = None

    def sees_as_teacher(self, step: int, student_every: int) -> bool:
        """Whether the teacher judges at this step, and not the student."""
        return self.student is None or step % student_every != 0


def ask(
    loss_networks: LossNetworks, index: Tensor, rng: Generator, own_share: float
) -> tuple[Tensor, Tensor]:
    """Codes for a batch: own; of the rest half prior draws, the others real people or blends.

    Args:
        loss_networks: Whose codes and prior.
        index: (n,) rows of the pack.
        rng: Source of randomness.
        own_share: Share of the images' own codes.

    Returns:
        Codes (n,d), and own (n,): 1 where it is the image's own person.
    """
    n = len(index)
    codes = loss_networks.codes[index]
    dice = torch.rand(n, generator=rng, device=index.device)
    own = dice < own_share
    rest = (dice - own_share) / (1 - own_share)
    mix = augment.uniform((n,), 0.3, 0.7, rng) * (rest < 0.2)
    other = F.normalize(
        codes.roll(1, 0) * (1 - mix[:, None]) + codes.roll(2, 0) * mix[:, None], dim=1
    )
    asked = torch.where(own[:, None], codes, other)
    drawn = loss_networks.prior.draw(n, rng)
    return torch.where((rest > 0.5)[:, None], drawn, asked), own.float()


class IdentityTrainer(FaceTrainer):
    """The generator of `identity`, one step at a time.

    Args:
        faces: The training images.
        loss_networks: Frozen nets and tables.
        weights: Of the loss.
        rate: Learning rate.
        judged_share: Share of a batch whose identity is judged.
        student_every: The student judges in the teacher's place on every so manieth step; the
            teacher then looks at the whole head.
        steady_every: Half a batch is moved and drawn again on every so manieth step.
        mesh_every: The mesh network judges on every so manieth step.
        first_guess: Whether the linear part starts from its least-squares solution.
    """

    stage = "identity"
    number = 2

    def __init__(
        self,
        faces: Faces,
        loss_networks: LossNetworks,
        weights: IdentityWeights,
        *,
        rate: float = 6e-4,
        judged_share: float = 0.5,
        student_every: int = 3,
        steady_every: int = 4,
        mesh_every: int = 2,
        first_guess: bool = True,
    ) -> None:
        self.faces = faces
        self.painter = None if loss_networks.mesher is None else PaintingMaker()
        self.mesh_every = mesh_every
        self.loss_networks = loss_networks
        self.weights = weights
        self.judged_share = judged_share
        self.student_every = student_every
        self.steady_every = steady_every
        self.conceal = Conceal(keep_colour=True).to(self.device)
        net = FaceGenerator()
        if first_guess:
            fit_guess(net.guess, faces, lambda rows: loss_networks.codes[rows.index], self.conceal)
        channels = loss_networks.teacher.channels(SIDES)
        self.adversary = AdversarialTrainer(net, self.device, rate=rate, channels=channels)

    def generator(self) -> FaceGenerator:
        """The net that draws."""
        net = self.adversary.generator
        assert isinstance(net, FaceGenerator)  # noqa: S101 - it is made in __init__
        return net

    def average(self) -> FaceGenerator:
        """The running average of the net that draws: what ships."""
        net = self.adversary.average
        assert isinstance(net, FaceGenerator)  # noqa: S101 - it is a copy of the generator
        return net

    def prior(self) -> Prior:
        """The prior over the teacher's codes."""
        return self.loss_networks.prior

    @torch.no_grad()
    def shown_codes(self, batch: Batch, rng: Generator) -> list[Tensor]:
        """The faces' own, then three of nobody."""
        n = len(batch.images)
        own = self.loss_networks.codes[batch.index]
        return [own, *(self.loss_networks.prior.draw(1, rng).expand(n, -1) for _ in range(3))]

    def look(self, number: int, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Codes and features of images under the judge of this step."""
        student = self.loss_networks.student
        if student is None or self.loss_networks.sees_as_teacher(number, self.student_every):
            return self.loss_networks.teacher.run(images, SIDES)
        found = student.features(images)
        return student.code(found), found[:3]

    def step(self, batch: Batch, rng: Generator) -> dict[str, float]:
        """Critic's step, then the generator's."""
        w, loss_networks, adversary = self.weights, self.loss_networks, self.adversary
        number = adversary.step
        share = max(0.35, 0.65 - 1.2 * self.progress)
        wanted, own = ask(loss_networks, batch.index, rng, share)
        paintings = None if self.painter is None else self.painter(batch, wanted, own, rng)
        face, pasted = self.draw(batch, wanted, rng, paintings)
        log_values: dict[str, float] = {}
        shown = None
        # A critic that nobody listens to costs a third of a step.
        if w.adversarial:
            real = adversary.view(batch.images, batch.valid, batch.landmarks, rng)
            shown = adversary.view(pasted, batch.valid, batch.landmarks, rng)
            log_values = adversary.critic_step(real, shown)
        adversary.critic.requires_grad_(False)
        judged = max(1, int(len(own) * self.judged_share))
        mine = own[:judged] > 0
        glance = Glance(batch.landmarks[:judged], rng)
        seen_new, seen_old = glance(pasted[:judged]), glance(batch.images[:judged])
        with autocast(self.device):
            verdict = pasted.new_zeros(1) if shown is None else adversary.critic(shown)[0]
            code, seen = self.look(number, seen_new)
            points = loss_networks.landmarker(shrink(seen_new))[:, :10]
            with torch.no_grad():
                original, there = self.look(number, seen_old)
        adversarial = -verdict.mean()
        # Where the painting stands, who it is is decided; what is around it need not say so, too.
        firm = own.new_zeros(judged) if paintings is None else paintings.over[:judged]
        identity = losses.toward(code, wanted[:judged], 1 - HELD * firm)
        away = losses.away(code, original, 1 - own[:judged], w.away_margin)
        paint = self.conceal.paint * batch.valid
        pixel = losses.pixels(pasted, batch.images, paint, own)
        rim = losses.coarse(face, batch.images, paint * (1 - self.conceal.inside))
        feature = losses.matched(
            [f[mine] for f in seen], [f[mine] for f in there], own[:judged][mine]
        )
        cells = self.conceal.cells(pasted, batch.valid)
        change = cells - self.conceal.cells(batch.images, batch.valid)
        colour = (change @ self.conceal.plane.T).abs().mean()
        landmark = F.smooth_l1_loss(
            points.float(), landmark_target(glance.landmarks), beta=0.05, reduction="none"
        ).mean(1)
        if paintings is not None:
            # Another shape has its landmarks elsewhere.
            landmark = landmark * (1 - paintings.there[:judged] * (1 - own[:judged]))
        landmark = landmark.mean()
        loss = (
            w.adversarial * adversarial
            + w.identity * identity
            + w.away * away
            + w.pixels * pixel
            + w.features * feature
            + w.colour * colour
            + w.landmarks * landmark
        )
        if paintings is not None:
            loss = loss + w.rim * rim
            log_values["rim"] = rim.item()
            if number % self.mesh_every == 0:
                shape, gaps, astray = self.mesh_errors(
                    batch, pasted[:judged], paintings.first(judged), rng
                )
                meshed = w.mesh * shape + w.openings * gaps + w.direction * astray
                loss = loss + self.mesh_every * meshed
                found = {"mesh": shape, "gaps": gaps, "astray": astray}
                log_values |= {key: value.item() for key, value in found.items()}
        if not loss_networks.sees_as_teacher(number, self.student_every):
            # Where the teacher does not judge who it is, it looks at the whole head.
            seen, there = self.heads(batch, pasted, judged, rng)
        log_values["critic2"] = adversary.feature_step(there, seen)
        with autocast(self.device):
            real_enough = adversary.realism(seen)
        loss = loss + w.realism * real_enough
        log_values["adv2"] = real_enough.item()
        if number % self.steady_every == self.steady_every // 2:
            apart, again = self.kinship(batch, code, wanted, glance, number, rng)
            loss = loss + w.apart * apart + w.identity * self.judged_share * again
            log_values["apart"] = apart.item()
        if number % self.steady_every == 0:
            steady = self.unsteadiness(batch, face, wanted, rng, paintings)
            loss = loss + w.steady * steady
            log_values["steady"] = steady.item()
        adversary.generator_step(loss)
        return log_values | {
            "adv": adversarial.item(),
            "id": 1 - identity.item(),
            "away": away.item(),
            "pix": pixel.item(),
            "feat": feature.item(),
            "col": colour.item(),
            "lm": landmark.item(),
        }

    def mesh_errors(
        self, batch: Batch, pasted: Tensor, paintings: Paintings, rng: Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`losses.mesh` and `losses.astray` of images with painted faces (k,3,128,128)."""
        assert batch.meshes is not None  # noqa: S101 - they are painted
        mesher = self.loss_networks.mesher
        assert mesher is not None  # noqa: S101 - there are paintings
        asked = paintings.meshes
        low, high = asked[:, :, :2].amin(1), asked[:, :, :2].amax(1)
        zoom = augment.uniform((len(asked),), *MESH_CROP, rng)
        side = (high - low).amax(1).clamp(min=8.0) * zoom
        centre = (low + high) / 2
        scale = (MESH_SIDE / side)[:, None, None]
        flat = (asked[:, :, :2] - centre[:, None]) * scale + (MESH_SIDE - 1) / 2
        shown = torch.cat([flat, asked[:, :, 2:] * scale], 2)
        found, _ = mesher(crop(pasted, centre, side))
        # Another shape may look as if it were turned: the turn that counts is the old head's.
        old = batch.meshes[: len(found)]
        astray = losses.astray(found, old, paintings.there)
        return *losses.mesh(found, shown, paintings.there), astray

    def heads(
        self, batch: Batch, pasted: Tensor, judged: int, rng: Generator
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The teacher's features of the first ``judged`` heads with new faces, and as they were."""
        glance = Glance(batch.landmarks[:judged], rng, WIDE)
        with autocast(self.device):
            _, seen = self.loss_networks.teacher.run(glance(pasted[:judged]), SIDES)
            with torch.no_grad():
                _, there = self.loss_networks.teacher.run(glance(batch.images[:judged]), SIDES)
        return seen, there

    def kinship(
        self,
        batch: Batch,
        code: Tensor,
        wanted: Tensor,
        glance: Glance,
        number: int,
        rng: Generator,
    ) -> tuple[Tensor, Tensor]:
        """Draw the judged images again with other codes, and judge what links the two drawings.

        Args:
            batch: The step's images.
            code: (k,d) what the judge saw in the first drawings.
            wanted: (n,d) what was asked of them.
            glance: How the judge is shown them.
            number: Of the step.
            rng: Source of randomness.

        Returns:
            `losses.kinship` of the two, and 1 - cosine of the second to what was asked of it.
        """
        judged = len(code)
        some = replace(
            batch,
            images=batch.images[:judged],
            valid=batch.valid[:judged],
            landmarks=batch.landmarks[:judged],
            index=batch.index[:judged],
            meshes=None if batch.meshes is None else batch.meshes[:judged],
        )
        asked = self.loss_networks.prior.draw(judged, rng)
        paintings = None
        if self.painter is not None:
            paintings = self.painter(some, asked, asked.new_zeros(judged), rng)
        _, pasted = self.draw(some, asked, rng, paintings)
        with autocast(self.device):
            other, _ = self.look(number, glance(pasted))
        link = losses.kinship(code, other, wanted[:judged], asked)
        return link, losses.toward(other, asked)
