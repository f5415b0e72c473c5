"""The face generator: context, landmarks and a code to a face, about 1 GFLOP.

A linear first guess, refined by a U-Net whose input is already concealed
(`conceal`), so that its skip connections carry context only. The code enters
by adaptive instance normalisation (Huang & Belongie 2017) at 8, 16 and 32 px
and by a plain scale and shift at 64 px; the last step to 128 px is a pixel
shuffle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_anon.methods.generative.bottleneck import paint_mask

SIZE = 128
SLOPE = 0.2


@dataclass(frozen=True)
class GeneratorSpec:
    """The shape of a generator.

    Attributes:
        code: Length of the unit code it is given.
        widths: Channels at 64, 32, 16 and 8 px.
        style: Width of the mapping network.
    """

    code: int = 128
    widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    style: int = 256


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the side (or halves it)."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


class StyledConv(nn.Module):
    """Activation, convolution, normalisation (if any), then the code's scale and shift."""

    def __init__(self, inputs: int, outputs: int, style: int, *, normalise: bool) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs)
        self.affine = nn.Linear(style, 2 * outputs)
        nn.init.normal_(self.affine.weight, std=0.02)
        nn.init.zeros_(self.affine.bias)
        self.normalise = normalise

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(n,c,h,w), (n,style) to (n,c',h,w)."""
        h = self.conv(F.leaky_relu(x, SLOPE))
        if self.normalise:
            h = F.instance_norm(h)
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, 1)
        out: Tensor = h * (1 + scale) + shift
        return out


class StyledBlock(nn.Module):
    """Two styled convolutions around a skip."""

    def __init__(self, width: int, style: int, *, normalise: bool = True) -> None:
        super().__init__()
        self.first = StyledConv(width, width, style, normalise=normalise)
        self.second = StyledConv(width, width, style, normalise=normalise)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(n,c,h,w), (n,style) to (n,c,h,w)."""
        out: Tensor = x + self.second(self.first(x, style), style)
        return out


class PlainBlock(nn.Module):
    """x + conv(act(conv(act(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, width)
        self.second = conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n,c,h,w) to (n,c,h,w)."""
        h = self.first(F.leaky_relu(x, SLOPE))
        out: Tensor = x + self.second(F.leaky_relu(h, SLOPE))
        return out


class FirstGuess(nn.Module):
    """A linear face of 32 px: faces that are aligned are nearly linear in what describes them.

    Training starts from its least-squares solution (`training.generators.first_guess`), so that
    the net above it refines a blurred face instead of finding out what a face is.
    It draws for the landmarks of a mean face; `put` brings it to where the face is.
    """

    grid: Tensor

    SIDE = 32

    def __init__(self, code: int) -> None:
        super().__init__()
        self.scale = code**0.5
        self.linear = nn.Linear(code + 58 + 100, 3 * self.SIDE**2)
        axis = (torch.arange(SIZE) + 0.5) / (SIZE / 2) - 1.0
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        grid = torch.stack([x.flatten(), y.flatten(), torch.ones(SIZE**2)])
        self.register_buffer("grid", grid, persistent=False)

    def describe(self, code: Tensor, hints: Tensor) -> Tensor:
        """Code (n,d) and hints (n,58) to features (n,d+158), landmarks also squared."""
        offsets = hints[:, 48:]
        squares = (offsets[:, :, None] * offsets[:, None, :]).flatten(1)
        return torch.cat([code * self.scale, hints, squares], 1)

    def forward(self, code: Tensor, hints: Tensor) -> Tensor:
        """To images (n,3,32,32)."""
        out: Tensor = self.linear(self.describe(code, hints))
        return out.view(-1, 3, self.SIDE, self.SIDE)

    def put(self, faces: Tensor, place: Tensor) -> Tensor:
        """Faces (n,3,32,32) at their places (n,2,3) in the crop: (n,3,128,128)."""
        grid = (place @ self.grid).transpose(1, 2).view(-1, SIZE, SIZE, 2)
        return F.grid_sample(
            faces, grid, mode="bilinear", padding_mode="border", align_corners=False
        )


class FaceGenerator(nn.Module):
    """Context and code to a face."""

    paint: Tensor

    def __init__(self, spec: GeneratorSpec | None = None) -> None:
        super().__init__()
        self.spec = spec or GeneratorSpec()
        a, b, c, d = self.spec.widths
        s = self.spec.style
        self.guess = FirstGuess(self.spec.code)
        self.mapping = nn.Sequential(
            nn.Linear(self.spec.code, s), nn.LeakyReLU(SLOPE), nn.Linear(s, s), nn.LeakyReLU(SLOPE)
        )
        paint = torch.from_numpy(paint_mask().copy()).float() / 255.0
        self.register_buffer("paint", paint.view(1, 1, SIZE, SIZE), persistent=False)
        self.enter = conv(4 * 4 + 5, a)
        self.down32 = conv(a, b, stride=2)
        self.down16 = conv(b, c, stride=2)
        self.context16 = PlainBlock(c)
        self.down8 = conv(c, d, stride=2)
        self.core = nn.ModuleList([StyledBlock(d, s), StyledBlock(d, s)])
        self.to16, self.to32, self.to64 = conv(d, c, 1), conv(c, b, 1), conv(b, a, 1)
        self.skip16, self.skip32 = conv(c, c, 1), conv(b, b, 1)
        self.block16 = StyledBlock(c, s)
        self.block32 = StyledBlock(b, s)
        self.last = StyledConv(a, a, s, normalise=False)
        self.leave = conv(a, 12)
        for parameter in self.leave.parameters():
            nn.init.normal_(parameter, std=1e-3)

    def forward(
        self,
        context: Tensor,
        maps: Tensor,
        hints: Tensor,
        place: Tensor,
        code: Tensor,
        drawing: Tensor | None = None,
    ) -> Tensor:
        """Draw faces.

        Args:
            context: (n,4,128,128), from `Conceal` or `bottleneck.conceal`.
            maps: (n,5,64,64) landmark heat maps.
            hints: (n,58) colours and landmark offsets, from `hints`.
            place: (n,2,3) where the first guess belongs, from `place`.
            code: (n,d) unit codes.
            drawing: (n,4,128,128) a face that is painted already, RGB in [-1, 1], and how far it
                is, 0 to 1; it stands in place of the linear guess. None: nothing is.

        Returns:
            (n,3,128,128) RGB in [-1, 1].
        """
        guess = self.guess.put(self.guess(code, hints).to(context.dtype), place)
        mask = context[:, 3:]
        # The guess runs out softly beyond the mask: a hard edge would have to be mended.
        share = torch.maximum(mask, self.paint)
        known = context[:, :3] * (1 - share) + guess * share
        if drawing is not None:
            painted = drawing[:, 3:].to(known.dtype)
            known = known * (1 - painted) + drawing[:, :3].to(known.dtype) * painted
        # sqrt(d): a unit code has components of size 1/sqrt(d).
        style = self.mapping(code * self.spec.code**0.5)
        x64 = self.enter(torch.cat([F.pixel_unshuffle(torch.cat([known, mask], 1), 2), maps], 1))
        x32 = self.down32(F.leaky_relu(x64, SLOPE))
        x16 = self.context16(self.down16(F.leaky_relu(x32, SLOPE)))
        h = self.down8(F.leaky_relu(x16, SLOPE))
        for block in self.core:
            h = block(h, style)
        h = F.interpolate(self.to16(h), scale_factor=2.0) + self.skip16(x16)
        h = self.block16(h, style)
        h = F.interpolate(self.to32(h), scale_factor=2.0) + self.skip32(x32)
        h = self.block32(h, style)
        h = F.interpolate(self.to64(h), scale_factor=2.0) + x64
        h = h + self.last(h, style)
        change = F.pixel_shuffle(self.leave(F.leaky_relu(h, SLOPE)), 2)
        return torch.clamp(known + change, -1.0, 1.0)
