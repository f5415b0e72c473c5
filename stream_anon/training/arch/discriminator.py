"""The critics of the adversarial game: training only, never exported.

Spectral normalisation (Miyato et al. 2018) instead of a gradient penalty,
which would need a double backward pass in float32; minibatch deviation
(Karras et al. 2018); a local and a global verdict.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


class Discriminator(nn.Module):
    """Real or drawn, given where the landmarks should be."""

    def __init__(self, widths: tuple[int, ...] = (64, 128, 192, 224)) -> None:
        super().__init__()
        layers = []
        width = 4 * 4 + 5
        for outputs in widths:
            layers.append(spectral_norm(nn.Conv2d(width, outputs, 4, 2, 1)))
            width = outputs
        self.layers = nn.ModuleList(layers)
        self.local = spectral_norm(nn.Conv2d(widths[2], 1, 3, 1, 1))
        self.final = spectral_norm(nn.Conv2d(width + 1, width, 3, 1, 1))
        self.verdict = spectral_norm(nn.Linear(width * 16, 1))

    def forward(self, shown: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge.

        Args:
            shown: (n,21,64,64) of `present`.

        Returns:
            Verdicts (n,k), greater is more real, and the features of each layer.
        """
        x = shown
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        local = self.local(features[2]).flatten(1)
        groups = x.reshape(-1, min(4, len(x)), *x.shape[1:]).float()
        deviation = (groups.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        plane = deviation.repeat_interleave(min(4, len(x))).view(-1, 1, 1, 1)
        x = torch.cat([x, plane.expand(-1, 1, *x.shape[2:]).to(x.dtype)], 1)
        whole = self.verdict(F.leaky_relu(self.final(x), SLOPE).flatten(1))
        # The global verdict counts as much as all local ones together.
        return torch.cat([local.float(), whole.float().expand_as(local)], 1), features


class FeatureCritic(nn.Module):
    """Real or drawn, by what a frozen recogniser sees (Projected GANs, Sauer et al. 2021).

    A small net on features that are there from the first step needs far fewer images than
    one that must find out by itself what a face is made of. It goes from the finest features to
    the coarsest; a gradient penalty holds it, for spectral normalisation kept it from telling
    apart what it could.

    Args:
        channels: Of the features at each scale, the finest first, each with half the side of
            the one before.
        width: Channels in between.
    """

    def __init__(self, channels: tuple[int, ...], width: int = 96) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.BatchNorm2d(c, affine=False, momentum=0.02) for c in channels
        )
        self.down = nn.ModuleList(
            nn.Conv2d(c + (width if i else 0), width, 3, 2, 1) for i, c in enumerate(channels)
        )
        self.core = nn.Conv2d(width, 2 * width, 3, 1, 1)
        self.verdict = nn.Conv2d(2 * width, 1, 1)
        for module in (*self.down, self.core):
            # PyTorch's own start lets the signal die away.
            nn.init.kaiming_normal_(module.weight, SLOPE)
        nn.init.zeros_(self.verdict.weight)

    @torch.no_grad()
    def measure(self, features: list[Tensor]) -> None:
        """Follow the size of real features (n,c,h,w) at each scale; `even` divides by it."""
        for scale, feature in zip(self.scales, features, strict=True):
            scale.train()(feature.float())
            scale.eval()

    def even(self, features: list[Tensor]) -> list[Tensor]:
        """Features (n,c,h,w) at each scale, brought to the same size: what `judge` takes."""
        return [
            scale(feature.float()).to(feature.dtype)
            for scale, feature in zip(self.scales, features, strict=True)
        ]

    def judge(self, features: list[Tensor]) -> Tensor:
        """Even features to verdicts (n,k), greater is more real."""
        x = F.leaky_relu(self.down[0](features[0]), SLOPE)
        for down, feature in zip(self.down[1:], features[1:], strict=True):
            x = F.leaky_relu(down(torch.cat([x, feature], 1)), SLOPE)
        found: Tensor = self.verdict(F.leaky_relu(self.core(x), SLOPE))
        return found.float().flatten(1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features (n,c,h,w) at each scale to verdicts (n,k)."""
        return self.judge(self.even(features))


def present(images: Tensor, valid: Tensor, maps: Tensor) -> Tensor:
    """What the critic sees: images, valid (n,·,128,128) and heat maps, at 64 px: (n,21,64,64)."""
    return torch.cat([F.pixel_unshuffle(torch.cat([images, valid], 1), 2), maps], 1)
