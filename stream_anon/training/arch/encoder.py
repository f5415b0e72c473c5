"""Encoders: a face to a unit code (identity, appearance).

Plain 3x3 convolutions throughout: at equal arithmetic they run about twice as
fast as depthwise ones on a CPU, forwards and backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class EncoderSpec:
    """The shape of an encoder.

    Attributes:
        widths: Channels of each stage; every stage halves the side.
        depths: Residual blocks of each stage.
        code: Length of the code.
        margin: Pixels cut from each border of the 128 px aligned face space.
        negative_slope: Of the activation.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 1, 2, 2)
    code: int = 128
    margin: int = 8
    negative_slope: float = 0.0


STUDENT_A = EncoderSpec()
"""The identity encoder that ships: 112 px, 0.78 GFLOP."""

STUDENT_B = EncoderSpec((24, 56, 112, 224), (0, 2, 2, 1), margin=0, negative_slope=0.1)
"""The second judge in the identity loss: another crop, depth and activation."""


def conv_bn(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and its batch normalisation (folded into it at export)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
    )


class ResidualBlock(nn.Module):
    """x + conv(act(conv(x))), then the activation."""

    def __init__(self, width: int, negative_slope: float) -> None:
        super().__init__()
        self.first = conv_bn(width, width)
        self.second = conv_bn(width, width)
        self.slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """(n,c,h,w) to (n,c,h,w)."""
        h = F.leaky_relu(self.first(x), self.slope)
        return F.leaky_relu(x + self.second(h), self.slope)


class Encoder(nn.Module):
    """A face in the aligned face space to a code."""

    def __init__(self, spec: EncoderSpec, *, unit: bool = True) -> None:
        super().__init__()
        self.spec = spec
        self.unit = unit
        side = 128 - 2 * spec.margin
        stages = []
        width = 3
        for outputs, depth in zip(spec.widths, spec.depths, strict=True):
            stages.append(
                nn.Sequential(
                    conv_bn(width, outputs, 2),
                    nn.LeakyReLU(spec.negative_slope),
                    *(ResidualBlock(outputs, spec.negative_slope) for _ in range(depth)),
                )
            )
            width, side = outputs, side // 2
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(width * side * side, spec.code)

    def features(self, images: Tensor) -> list[Tensor]:
        """The output of every stage for images (n,3,128,128) in [-1, 1]."""
        m = self.spec.margin
        x = images[:, :, m : 128 - m, m : 128 - m]
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def code(self, features: Sequence[Tensor]) -> Tensor:
        """The code (n,d) that belongs to `features`."""
        out = self.head(features[-1].flatten(1)).float()
        return F.normalize(out, dim=1) if self.unit else out

    def forward(self, images: Tensor) -> Tensor:
        """(n,3,128,128) in [-1, 1] to (n,d)."""
        return self.code(self.features(images))


APPEARANCE = EncoderSpec((24, 48, 96, 160), (0, 1, 1, 1), code=64, margin=0)
"""128 px to a point on the sphere in 64 dimensions, 0.25 GFLOP."""


class AppearanceNet(Encoder):
    """The encoder of `dp-image`: a linear projection and what convolutions add to it.

    The projection starts as whitened principal components (`training.generators.first_guess`),
    so that codes mean something from the first step.
    """

    SIDE = 32

    def __init__(self, spec: EncoderSpec = APPEARANCE) -> None:
        super().__init__(spec)
        self.projection = nn.Linear(3 * self.SIDE**2, spec.code)
        for parameter in self.head.parameters():
            nn.init.normal_(parameter, std=1e-4)

    def forward(self, images: Tensor) -> Tensor:
        """(n,3,128,128) in [-1, 1] to (n,64), unit norm."""
        small = F.avg_pool2d(images, 4).flatten(1)
        out = self.projection(small) + self.head(self.features(images)[-1].flatten(1))
        return F.normalize(out.float(), dim=1)
