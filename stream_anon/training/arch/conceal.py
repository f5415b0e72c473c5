"""The privacy bottleneck of `stream_anon.methods.generative.bottleneck`, on tensors for
training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stream_anon.methods.generative import bottleneck


class Conceal(nn.Module):
    """Replace the inside of the minimum mask by its grid of colours, or by nothing.

    Args:
        keep_colour: As in `bottleneck.conceal`.
    """

    inside: Tensor
    paint: Tensor
    gather: Tensor
    spread: Tensor
    plane: Tensor

    def __init__(self, *, keep_colour: bool) -> None:
        super().__init__()
        self.keep_colour = keep_colour
        gather, spread = bottleneck.grid_matrices()
        inside = torch.from_numpy(bottleneck.minimum_mask().copy()).float()
        paint = torch.from_numpy(bottleneck.paint_mask().copy()).float() / 255.0
        self.register_buffer("inside", inside.view(1, 1, 128, 128), persistent=False)
        self.register_buffer("paint", paint.view(1, 1, 128, 128), persistent=False)
        self.register_buffer("gather", torch.from_numpy(gather), persistent=False)
        self.register_buffer("spread", torch.from_numpy(spread), persistent=False)
        plane = torch.from_numpy(bottleneck.plane_matrix())
        self.register_buffer("plane", plane, persistent=False)

    def cells(self, images: Tensor, valid: Tensor) -> Tensor:
        """Average colours of the inside: (n,3,16) in the images' own range."""
        known = valid.flatten(2)
        sums = (images.flatten(2) * known) @ self.gather.T
        sizes = known @ self.gather.T
        whole = sums.sum(2, keepdim=True) / sizes.sum(2, keepdim=True).clamp(min=1)
        return torch.where(sizes > 0, sums / sizes.clamp(min=1), whole)

    def forward(self, images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """What a generator may know of images.

        Args:
            images: (n,3,128,128) in [-1, 1].
            valid: (n,1,128,128).

        Returns:
            (n,4,128,128) and (n,48), as `bottleneck.conceal`.
        """
        count = len(images)
        if self.keep_colour:
            cells = self.cells(images, valid) @ self.plane.T
            fill = (cells @ self.spread.T).view(count, 3, 128, 128)
        else:
            around = valid * (1 - self.inside)
            mean = (images * around).sum((2, 3), keepdim=True)
            fill = mean / around.sum((2, 3), keepdim=True).clamp(min=1)
            cells = fill.flatten(2).expand(-1, -1, 16)
        unknown = torch.maximum(self.inside, 1 - valid)
        context = torch.cat([torch.where(unknown > 0, fill, images), unknown], 1)
        return context, cells.flatten(1)


def hints(colours: Tensor, landmarks: Tensor) -> Tensor:
    """Colours (n,48) and landmarks (n,5,2) to (n,58), as `bottleneck.hints`."""
    template = torch.from_numpy(bottleneck.WIDE_TEMPLATE).to(landmarks.device)
    linear, shift = _settle(landmarks)
    moved = landmarks @ linear.transpose(1, 2) + shift[:, None]
    return torch.cat([colours, ((moved - template) / 16.0).flatten(1)], 1)


def place(landmarks: Tensor) -> Tensor:
    """Where the first guess of landmarks (n,5,2) belongs: (n,2,3), as `bottleneck.place`."""
    linear, shift = _settle(landmarks)
    middle = (bottleneck.SIZE - 1) / 2
    offset = (shift + linear.sum(2) * middle - middle) / (bottleneck.SIZE / 2)
    return torch.cat([linear, offset[:, :, None]], 2)


def _settle(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares similarities from landmarks to the wide template: (n,2,2), (n,2)."""
    template = torch.from_numpy(bottleneck.WIDE_TEMPLATE).to(landmarks.device)
    mean, target = landmarks.mean(1), template.mean(0)
    s, t = landmarks - mean[:, None], template - target
    size = (s * s).sum((1, 2)).clamp(min=1.0)
    a = (s * t).sum((1, 2)) / size
    b = (s[:, :, 0] @ t[:, 1] - s[:, :, 1] @ t[:, 0]) / size
    linear = torch.stack([torch.stack([a, -b], 1), torch.stack([b, a], 1)], 1)
    return linear, target - (linear @ mean[:, :, None])[:, :, 0]


def heatmaps(landmarks: Tensor) -> Tensor:
    """Landmarks (n,5,2) to Gaussian bumps (n,5,64,64), as `bottleneck.heatmaps`."""
    side, sigma = bottleneck.HEATMAP_SIZE, bottleneck.HEATMAP_SIGMA
    step = side / bottleneck.SIZE
    axis = torch.arange(side, device=landmarks.device, dtype=torch.float32) + 0.5 - 0.5 * step
    centre = landmarks.float() * step
    scale = -0.5 / sigma**2
    x = torch.exp(scale * (axis - centre[..., 0:1]) ** 2)
    y = torch.exp(scale * (axis - centre[..., 1:2]) ** 2)
    return y[..., :, None] * x[..., None, :]
