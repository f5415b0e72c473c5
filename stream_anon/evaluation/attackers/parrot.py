"""Parrot attacks: recognisers that learn from our own output of other people (needs torch).

Two pupils. An *adapter* on top of a finished recogniser's features, which is cheap and learns
which of them survive; and a small *net from scratch*, which is bound to no feature that an
anonymiser may have been trained to remove. Both see clear and anonymised images of the
same people under one label, so that they learn what the two have in common. How long they
learn is decided on people who are held out, never on the people they are measured on.

McPherson et al., arXiv 1609.00408; Newton et al., TKDE 17 (2005): parrot recognition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers.recogniser import Embeddings, unit_rows
from stream_anon.evaluation.attackers.training_set import Labels, Lessons

Pixels = NDArray[np.uint8]
Embed = Callable[[NDArray[np.generic]], Embeddings]

MARGIN, SCALE = 0.2, 24.0
"""CosFace (Wang et al., CVPR 2018), milder than for large sets."""

HELD_OUT = 0.15
"""Share of the people who decide when learning ends."""


@dataclass(frozen=True, slots=True)
class TrainedAttacker:
    """A trained attacker.

    Attributes:
        embed: inputs (embeddings or 64 px images) to unit embeddings.
        held_out: equal error rate on held-out people, clear against anonymised.
        rounds: of learning that were best.
    """

    embed: Embed
    held_out: float
    rounds: int


class Adapter(nn.Module):
    """Features to features, beginning as the identity."""

    def __init__(self, width: int, hidden: int = 384) -> None:
        super().__init__()
        last = nn.Linear(hidden, width)
        self.deep = nn.Sequential(nn.Linear(width, hidden), nn.PReLU(), nn.Dropout(0.3), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.direct = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.direct.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to (n, d)."""
        out: Tensor = self.direct(x) + self.deep(x)
        return out


class SmallNet(nn.Module):
    """64 px images to 128 numbers; 0.5 M parameters."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for channels in (24, 48, 96, 160):
            layers += [
                nn.Conv2d(previous, channels, 3, 2, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
            previous = channels
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(160 * 16, width))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, 64, 64) in [-1, 1] to (n, 128)."""
        out: Tensor = self.head(self.body(x))
        return out


def adapter(lessons: Lessons, attacker: str, rounds: int = 30, seed: int = 0) -> TrainedAttacker:
    """Fine-tune a recogniser's features on our output.

    Args:
        lessons: images of other people.
        attacker: whose embeddings are adapted.
        rounds: most passes over the lessons.
        seed: of the learning.
    """
    clear, new = lessons.clear_embeddings[attacker], lessons.new_embeddings[attacker]
    torch.manual_seed(seed)
    net = Adapter(clear.shape[1])

    def tensor(values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))

    return _learn(net, clear, new, lessons.people, tensor, rounds, 2e-3, seed, flips=False)


def from_scratch(lessons: Lessons, rounds: int = 12, seed: int = 0) -> TrainedAttacker:
    """Train a small recogniser from nothing on clear and anonymised images."""
    torch.manual_seed(seed)
    return _learn(
        SmallNet(), lessons.clear, lessons.new, lessons.people, planes, rounds, 2e-3, seed,
        flips=True,
    )  # fmt: skip


def planes(images: NDArray[np.generic]) -> Tensor:
    """(n, h, w, 3) uint8 to (n, 3, h, w) float32 in [-1, 1]."""
    values = torch.from_numpy(np.ascontiguousarray(images, np.uint8))
    return values.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _learn(
    net: nn.Module,
    clear: NDArray[np.generic],
    new: NDArray[np.generic],
    people: Labels,
    tensor: Callable[[NDArray[np.generic]], Tensor],
    rounds: int,
    rate: float,
    seed: int,
    flips: bool,
) -> TrainedAttacker:
    rng = np.random.default_rng(seed)
    everyone = rng.permutation(np.unique(people))
    held = np.isin(people, everyone[: max(2, round(HELD_OUT * len(everyone)))])
    _, labels = np.unique(people[~held], return_inverse=True)
    inputs = np.concatenate([clear[~held], new[~held]])
    targets = torch.from_numpy(np.concatenate([labels, labels]))
    width = _forward(net, inputs[:2], tensor).shape[1]
    centres = nn.Parameter(torch.randn(int(labels.max()) + 1, width) * 0.05)
    optimiser = torch.optim.AdamW([*net.parameters(), centres], rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rounds)
    best, best_round = _held_out(net, clear[held], new[held], people[held], tensor), 0
    state = {k: v.clone() for k, v in net.state_dict().items()}
    for number in range(1, rounds + 1):
        net.train()
        for rows in np.array_split(rng.permutation(len(inputs)), max(1, len(inputs) // 128)):
            batch = tensor(inputs[rows])
            if flips and rng.random() < 0.5:
                batch = batch.flip(3)
            cosines = functional.normalize(net(batch)) @ functional.normalize(centres).T
            wanted = targets[torch.from_numpy(rows)]
            one = functional.one_hot(wanted, len(centres))
            loss = functional.cross_entropy(SCALE * (cosines - MARGIN * one), wanted)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        schedule.step()
        rate_now = _held_out(net, clear[held], new[held], people[held], tensor)
        if rate_now < best:
            best, best_round = rate_now, number
            state = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    return TrainedAttacker(lambda values: _forward(net, values, tensor), best, best_round)


def _forward(
    net: nn.Module,
    values: NDArray[np.generic],
    tensor: Callable[[NDArray[np.generic]], Tensor],
) -> Embeddings:
    net.eval()
    with torch.no_grad():
        parts = [
            net(tensor(values[i : i + 256])).numpy() for i in range(0, len(values), 256)
        ]
    return unit_rows(np.concatenate(parts))


def _held_out(
    net: nn.Module,
    clear: NDArray[np.generic],
    new: NDArray[np.generic],
    people: Labels,
    tensor: Callable[[NDArray[np.generic]], Tensor],
) -> float:
    """Equal error rate of anonymised images against other, clear ones of held-out people."""
    alike = _forward(net, new, tensor) @ _forward(net, clear, tensor).T
    same = people[:, None] == people[None, :]
    # The very image it was made of shows the same background.
    other = ~np.eye(len(people), dtype=bool)
    if not (same & other).any() or same.all():
        return 0.5
    return scores.equal_error(alike[same & other], alike[~same])
