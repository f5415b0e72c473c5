"""What a training run is asked for. Importing this needs no torch.

Every option stands, with a comment and at its default, in
``configs/training/identity.yaml``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from stream_anon.config import Section
from stream_anon.errors import ConfigError

Count = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=0.1)]


class DistilOptions(Section):
    """Stage 1: the identity encoder."""

    images: Count = 400_000
    batch: Annotated[int, Field(ge=2, le=4096)] = 64
    rate: Rate = 2e-3


class LandmarkOptions(Section):
    """Stage 1b: the landmark net."""

    images: Count = 600_000
    batch: Annotated[int, Field(ge=2, le=4096)] = 64
    rate: Rate = 2e-3


class IdentityOptions(Section):
    """Stage 2: the generator of `identity`."""

    images: Count = 400_000
    batch: Annotated[int, Field(ge=4, le=4096)] = 16
    rate: Rate = 6e-4
    decay_from: Annotated[float, Field(ge=0, lt=1)] = 0.75
    judged_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    student_every: Annotated[int, Field(ge=1)] = 3
    steady_every: Annotated[int, Field(ge=1)] = 4
    adversarial: Weight = 4.0
    realism: Weight = 4.0
    features: Weight = 8.0
    pixels: Weight = 6.0
    identity: Weight = 3.0
    away: Weight = 4.0
    away_margin: Annotated[float, Field(ge=-1, le=1)] = -0.05
    colour: Weight = 3.0
    landmarks: Weight = 16.0
    steady: Weight = 6.0
    apart: Weight = 18.0
    painted: bool = False
    mesh_every: Annotated[int, Field(ge=1)] = 2
    mesh: Weight = 2.0
    direction: Weight = 6.0
    openings: Weight = 4.0
    rim: Weight = 2.0


class AppearanceOptions(Section):
    """Stage 3: the autoencoder of `dp-image`."""

    images: Count = 200_000
    batch: Annotated[int, Field(ge=4, le=4096)] = 16
    rate: Rate = 4e-4
    decay_from: Annotated[float, Field(ge=0, lt=1)] = 0.75
    steady_every: Annotated[int, Field(ge=1)] = 4
    adversarial: Weight = 1.0
    realism: Weight = 2.0
    features: Weight = 3.0
    pixels: Weight = 10.0
    identity: Weight = 4.0
    cycle: Weight = 4.0
    spread: Weight = 0.3
    landmarks: Weight = 3.0
    steady: Weight = 6.0


class TrainConfig(Section):
    """One training run, from images of faces to weights that ship."""

    data: tuple[Path, ...] = ()
    teacher: Path | None = None
    detector: Path | None = None
    out: Path = Path("runs/identity")
    weights: Path | None = None
    start: Path | None = None
    stages: tuple[str, ...] = ("distil", "landmarks", "identity", "appearance", "export")
    device: str = "auto"
    seed: int = 0
    threads: Count = 0
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 240.0
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    worker: Annotated[int, Field(ge=0, le=63)] = 0
    distil: DistilOptions = DistilOptions()
    landmarks: LandmarkOptions = LandmarkOptions()
    identity: IdentityOptions = IdentityOptions()
    appearance: AppearanceOptions = AppearanceOptions()


STAGES = ("distil", "landmarks", "identity", "appearance", "morphable", "export")


def parse(data: Any, origin: str) -> TrainConfig:
    """Validate a mapping.

    Raises:
        ConfigError: with one line for all that is wrong.
    """
    try:
        config = TrainConfig.model_validate(data or {})
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigError(f"{origin}: {told}") from error
    unknown = [stage for stage in config.stages if stage not in STAGES]
    if unknown:
        raise ConfigError(f"{origin}: unknown stage '{unknown[0]}'; there are {', '.join(STAGES)}")
    return config


def load(path: Path) -> TrainConfig:
    """Read a YAML file.

    Raises:
        ConfigError: it cannot be read, a key is unknown or a value is out of range.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    return parse(data, str(path))
