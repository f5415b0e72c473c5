"""The adversarial part that both generators share: critic, presentation, averages."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from stream_anon.networks.arch.conceal import heatmaps
from stream_anon.networks.arch.discriminator import Discriminator, present
from stream_anon.training import augment, losses
from stream_anon.training.runtime import autocast, place


def shuffle_view(shown: Tensor, rng: Generator, groups: int = 4, reach: int = 5) -> Tensor:
    """Differentiable translation and cut-out (Zhao et al. 2020) of what the critic sees.

    Shifts are whole cells of two pixels, one for each of ``groups`` parts of
    the batch, so that they are cheap views.
    """
    parts = []
    for part in shown.chunk(groups):
        dx, dy = (int(v) for v in torch.randint(-reach, reach + 1, (2,), generator=rng,
                                                device=rng.device).tolist())  # fmt: skip
        moved = F.pad(part, (reach, reach, reach, reach))
        side = part.shape[2]
        moved = moved[:, :, reach + dy : reach + dy + side, reach + dx : reach + dx + side]
        if torch.rand(1, generator=rng, device=rng.device).item() < 0.4:
            x0, y0 = (int(v) for v in torch.randint(0, side - 16, (2,), generator=rng,
                                                    device=rng.device).tolist())  # fmt: skip
            keep = torch.ones(1, 1, side, side, device=part.device, dtype=part.dtype)
            keep[:, :, y0 : y0 + 20, x0 : x0 + 20] = 0
            moved = moved * keep
        parts.append(moved)
    return torch.cat(parts)


class Game:
    """A generator, its critic and its running average.

    Args:
        generator: The net that draws (with whatever else is trained with it).
        device: Where.
        rate: Learning rate of both sides.
        ema: Decay of the running average per step.
    """

    def __init__(
        self, generator: nn.Module, device: torch.device, *, rate: float, ema: float = 0.99
    ) -> None:
        self.device = device
        self.rate = rate
        self.decay = ema
        self.generator = place(generator, device)
        self.critic = place(Discriminator(), device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        # What starts from a least-squares solution stays there: let loose, the linear guess
        # meets the identity loss by a speckle that no critic of this size takes out again.
        # The encoder's wide head is held back, or it drowns the projection in its first steps.
        shares: dict[float, list[nn.Parameter]] = {1.0: [], 0.0: [], 0.02: []}
        for name, parameter in self.generator.named_parameters():
            fitted = "guess." in name or "projection." in name
            shares[0.0 if fitted else 0.02 if "head." in name else 1.0].append(parameter)
        self.generator_optimizer = torch.optim.Adam(
            [{"params": found, "share": share} for share, found in shares.items() if found],
            lr=rate,
            betas=(0.0, 0.99),
        )
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), lr=rate, betas=(0.0, 0.99)
        )
        self.step = 0

    def set_rate(self, factor: float) -> None:
        """Scale both learning rates; the critic, held back by its normalisation, has the higher."""
        for optimizer, share in ((self.generator_optimizer, 1.0), (self.critic_optimizer, 1.5)):
            for group in optimizer.param_groups:
                group["lr"] = self.rate * factor * share * group.get("share", 1.0)

    def view(self, pictures: Tensor, valid: Tensor, landmarks: Tensor, rng: Generator) -> Tensor:
        """What the critic is shown of pictures: lit, moved and cut at random."""
        lit = augment.relight(pictures, rng, 0.7) * valid
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

    def generator_step(self, loss: Tensor) -> None:
        """Take a step on the generator's whole loss and move its average along."""
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), 20.0)
        self.generator_optimizer.step()
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
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        self.average.load_state_dict(state["average"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.step = int(state["step"])
