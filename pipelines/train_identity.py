"""train_identity: images of faces in, the networks of `identity` and `dp-image` out.

Which stages, in which order, is in the configuration; each one goes on from its checkpoint.
Copy this file to change what a stage does:

    stream-anon train --config configs/training/identity.yaml --data faces/ ...
"""

from typing import TYPE_CHECKING

from stream_anon.training.plan import TrainConfig

if TYPE_CHECKING:
    from stream_anon.training.stages import Training


def build(config: TrainConfig) -> "Training":
    """The training run; needs the [train] extra."""
    from stream_anon.training.stages import Training

    return Training(config)
