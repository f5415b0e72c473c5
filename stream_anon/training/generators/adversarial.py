"""The adversarial part that both generators share: critic, presentation, averages."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from stream_anon.training.arch.conceal import heatmaps
from stream_anon.training.arch.discriminator import Discriminator, FeatureCritic, present
from stream_anon.training.arch.generator import FirstGuess
from stream_anon.training.data import augment
from stream_anon.training.generators import losses
from stream_anon.training.runtime import autocast, place


def shuffle_view(shown: Tensor, rng: Generator, groups: int = 4, max_shift: int = 5) -> Tensor:
    """Differentiable translation and cut-out (Zhao et al. 2020) of what the critic sees.

    Shifts are whole cells of two pixels, one for each of ``groups`` parts of
    the batch, so that they are cheap views.
    """
    parts = []
    for part in shown.chunk(groups):
        dx, dy = (int(v) for v in torch.randint(-max_shift, max_shift + 1, (2,), generator=rng,
                                                device=rng.device).tolist())  # fmt: skip
        moved = F.pad(part, (max_shift, max_shift, max_shift, max_shift))
        side = part.shape[2]
        moved = moved[
            :, :, max_shift + dy : max_shift + dy + side, max_shift + dx : max_shift + dx + side
        ]
        if torch.rand(1, generator=rng, device=rng.device).item() < 0.4:
            x0, y0 = (int(v) for v in torch.randint(0, side - 16, (2,), generator=rng,
                                                    device=rng.device).tolist())  # fmt: skip
            keep = torch.ones(1, 1, side, side, device=part.device, dtype=part.dtype)
            keep[:, :, y0 : y0 + 20, x0 : x0 + 20] = 0
            moved = moved * keep
        parts.append(moved)
    return torch.cat(parts)


GUESS_SHARE = 0.1
"""Share of the learning rate at which the linear first guess is bent."""


R1_WEIGHT = 1.0
"""Weight of the penalty on the second critic's gradient (R1's gamma)."""

R1_EVERY = 16
"""It is paid on every so manieth step, and that much more (Karras et al. 2020)."""


@torch.no_grad()
def smooth_change(weight: Tensor, before: Tensor) -> None:
    """Blur the last change of a guess's weight (3*32*32,k) over the image it draws.

    Left to itself, Adam's equal steps for every pixel meet the identity loss by
    a speckle that a small critic does not take out again.
    """
    side = FirstGuess.SIDE
    change = (weight - before).T.reshape(-1, 1, side, side)
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=weight.device) / 16
    kernel = torch.outer(taps, taps).view(1, 1, 5, 5)
    smooth = F.conv2d(F.pad(change, (2, 2, 2, 2), mode="replicate"), kernel)
    weight.copy_(before + smooth.reshape(weight.shape[1], -1).T)


class AdversarialTrainer:
    """A generator, its critic and its running average.

    Args:
        generator: The net that draws (with whatever else is trained with it).
        device: Where.
        rate: Learning rate of both sides.
        ema: Decay of the running average per step.
        channels: Of the recogniser's features that the second critic looks at.
    """

    def __init__(
        self,
        generator: nn.Module,
        device: torch.device,
        *,
        rate: float,
        channels: tuple[int, ...],
        ema: float = 0.997,
    ) -> None:
        self.device = device
        self.rate = rate
        self.decay = ema
        self.generator = place(generator, device)
        self.critic = place(Discriminator(), device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        # What starts from a least-squares solution is bent slowly (and the guess smoothly).
        # The encoder's wide head is held back, or it drowns the projection in its first steps.
        shares: dict[float, list[nn.Parameter]] = {1.0: [], GUESS_SHARE: [], 0.02: [], 0.0: []}
        for name, parameter in self.generator.named_parameters():
            share = 1.0
            for part, lower in (("guess.", GUESS_SHARE), ("projection.", 0.0), ("head.", 0.02)):
                share = lower if part in name else share
            shares[share].append(parameter)
        self.generator_optimizer = torch.optim.Adam(
            [{"params": found, "share": share} for share, found in shares.items() if found],
            lr=rate,
            betas=(0.0, 0.99),
        )
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), lr=rate, betas=(0.0, 0.99)
        )
        self.feature_critic = place(FeatureCritic(channels), device)
        self.feature_optimizer = torch.optim.Adam(
            self.feature_critic.parameters(), lr=rate, betas=(0.0, 0.99)
        )
        self.step = 0
        self._feature_steps = 0

    def set_rate(self, factor: float) -> None:
        """Scale the learning rates; the critic held back by its normalisation has the highest."""
        shares = (
            (self.generator_optimizer, 1.0),
            (self.critic_optimizer, 1.5),
            (self.feature_optimizer, 0.7),
        )
        for optimizer, share in shares:
            for group in optimizer.param_groups:
                group["lr"] = self.rate * factor * share * group.get("share", 1.0)

    def view(self, images: Tensor, valid: Tensor, landmarks: Tensor, rng: Generator) -> Tensor:
        """What the critic is shown of images: lit, moved and cut at random."""
        lit = augment.relight(images, rng, 0.7) * valid
        shown = present(lit, valid.expand(-1, 1, -1, -1), heatmaps(landmarks))
        return shuffle_view(shown, rng).contiguous(memory_format=torch.channels_last)

    def critic_step(self, real: Tensor, drawn: Tensor) -> dict[str, float]:
        """Train the critic on two views (n,21,64,64)."""
        self.critic.requires_grad_(True)
        with autocast(self.device):
            verdict, _ = self.critic(torch.cat([real, drawn.detach()]))
        on_real, on_drawn = verdict.float().chunk(2)
        loss = losses.critic_hinge(on_real, on_drawn)
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimizer.step()
        return {
            "critic": loss.item(),
            "real": on_real[:, -1].mean().item(),
            "drawn": on_drawn[:, -1].mean().item(),
        }

    def feature_step(self, real: list[Tensor], drawn: list[Tensor]) -> float:
        """Train the second critic on a recogniser's features of both; its loss."""
        critic = self.feature_critic
        critic.requires_grad_(True)
        critic.measure(real)
        with autocast(self.device):
            both = [torch.cat([a, b.detach()]) for a, b in zip(real, drawn, strict=True)]
            on_real, on_drawn = critic(both).chunk(2)
        loss = losses.critic_logistic(on_real, on_drawn)
        self._feature_steps += 1
        if self._feature_steps % R1_EVERY == 0:
            # In float32: a gradient of a gradient.
            even = [f.detach().float().requires_grad_(True) for f in critic.even(real)]
            loss = loss + 0.5 * R1_WEIGHT * R1_EVERY * losses.r1_penalty(critic.judge(even), even)
        self.feature_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.feature_optimizer.step()
        critic.requires_grad_(False)
        return loss.item()

    def realism(self, features: list[Tensor]) -> Tensor:
        """The generator's loss by the second critic, on features of what was drawn."""
        return losses.drawn_logistic(self.feature_critic(features))

    def generator_step(self, loss: Tensor) -> None:
        """Take a step on the generator's whole loss and move its average along."""
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), 20.0)
        guesses = [m.linear for m in self.generator.modules() if isinstance(m, FirstGuess)]
        before = [layer.weight.detach().clone() for layer in guesses]
        self.generator_optimizer.step()
        for layer, old in zip(guesses, before, strict=True):
            smooth_change(layer.weight, old)
        self.step += 1
        decay = min(self.decay, self.step / (self.step + 20))
        with torch.no_grad():
            ours, theirs = self.average.state_dict(), self.generator.state_dict()
            for key, value in ours.items():
                if value.dtype.is_floating_point:
                    value.lerp_(theirs[key], 1 - decay)
                else:
                    value.copy_(theirs[key])

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        return {
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "step": self.step,
            "looks": self._feature_steps,
            "feature_critic": self.feature_critic.state_dict(),
            "feature_optimizer": self.feature_optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any], *, optimizers: bool = True) -> None:
        """Go on from `state`; without the optimizers where nothing is to be trained."""
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        self.average.load_state_dict(state["average"])
        # A checkpoint from before the second critic was what it is begins with a new one.
        two = state.get("feature_critic", {}).keys() == self.feature_critic.state_dict().keys()
        if two:
            self.feature_critic.load_state_dict(state["feature_critic"])
        if optimizers:
            self.generator_optimizer.load_state_dict(state["generator_optimizer"])
            self.critic_optimizer.load_state_dict(state["critic_optimizer"])
            if two and "feature_optimizer" in state:
                self.feature_optimizer.load_state_dict(state["feature_optimizer"])
        self.step = int(state["step"])
        self._feature_steps = int(state.get("looks", 0))
