"""Which identities a generator draws well, whatever the picture: for its public prior.

Some codes become a face that anybody believes, others one with weathered skin wherever they are
drawn. Which ones is the critic's to say, and has nothing to do with whose face is replaced later:
a prior fitted to the better half is as public as one fitted to all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stream_anon.training.codes import Prior
from stream_anon.training.data import FRAMING, Batch
from stream_anon.training.identity import SIDES, IdentityTrainer
from stream_anon.training.runtime import autocast
from stream_anon.training.trainer import WIDE, Glance

SCENES = 32
"""Pictures into which identities are drawn."""

NEIGHBOURS = 12
"""A verdict is averaged over so many codes nearest to it."""


@torch.no_grad()
def verdicts(
    trainer: IdentityTrainer, codes: Tensor, rng: Generator, *, rounds: int = 3, batch: int = 32
) -> Tensor:
    """The second critic's verdict on each code, drawn into several pictures.

    Args:
        trainer: Whose generator draws and whose critic judges.
        codes: (n,d) unit codes.
        rng: Source of randomness.
        rounds: Pictures for each code.
        batch: Codes at once.

    Returns:
        (n,): mean over the pictures, each measured by what the critic says of it on average.
    """
    net, game = trainer.average().eval(), trainer.game
    scenes = trainer.faces.batch(SCENES, rng, **FRAMING)
    said = torch.zeros(len(codes), rounds, device=codes.device)
    where = torch.randint(SCENES, said.shape, generator=rng, device=codes.device)
    for turn in range(rounds):
        for start in range(0, len(codes), batch):
            some = slice(start, start + batch)
            rows = where[some, turn]
            scene = Batch(*(part[rows] for part in vars(scenes).values()))
            _, pasted = trainer.draw(scene, codes[some], rng, net)
            for reach in (1.0, WIDE):
                glance = Glance(scene.landmarks, rng, reach)
                with autocast(trainer.device):
                    _, seen = trainer.judges.teacher.run(glance(pasted), SIDES)
                    said[some, turn] += game.feature_critic(seen).mean(1)
    usual = torch.zeros(SCENES, device=codes.device).scatter_reduce(
        0, where.flatten(), said.flatten(), "mean", include_self=False
    )
    return (said - usual[where]).mean(1)


def tasteful(codes: Tensor, said: Tensor, share: float = 0.5) -> Prior:
    """The prior fitted to the ``share`` of codes (n,d) whose neighbourhood was judged best (n,)."""
    codes = F.normalize(codes, dim=1)
    level = torch.empty_like(said)
    for start in range(0, len(codes), 1024):
        near = (codes[start : start + 1024] @ codes.T).topk(min(NEIGHBOURS, len(codes))).indices
        level[start : start + 1024] = said[near].mean(1)
    best = level.topk(max(1, round(share * len(codes)))).indices
    return Prior.fit(codes[best])
