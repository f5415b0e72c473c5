"""Attackers from their descriptions: recognisers, and what looks at a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from stream_anon.errors import ConfigError, ModelError
from stream_anon.evaluation.attackers.mesh import MeshAttacker, MeshSpec
from stream_anon.evaluation.attackers.recogniser import AttackerSpec, Embeddings, Recogniser


class Spec(Protocol):
    """What tables say of an attacker."""

    @property
    def name(self) -> str:
        """How tables call it."""

    @property
    def dimension(self) -> int:
        """Length of the embedding."""

    @property
    def training_saw_it(self) -> bool:
        """It was a loss or a teacher of the networks under test."""

    @property
    def licence(self) -> str:
        """As its origin states it."""


class Attacker(Protocol):
    """Whoever turns aligned faces into unit vectors that are alike where people are.

    Attributes:
        name: how tables call it.
        fingerprint: stands for its network and its description.
    """

    name: str
    fingerprint: str

    @property
    def spec(self) -> Spec:
        """Its description."""

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        """Unit embeddings (n, d) of (n, 128, 128, 3) uint8 RGB; zero rows are like nobody."""


def read_spec(path: str | Path) -> AttackerSpec | MeshSpec:
    """Read and check an attacker's YAML.

    Raises:
        ConfigError: it cannot be read, or does not describe an attacker; one line says why.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: is no mapping")
    kind = MeshSpec if data.get("kind") == "mesh" else AttackerSpec
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "attacker"
        raise ConfigError(f"{path}: {where}: {first['msg']}") from error


def load_attackers(
    specs: Sequence[Path], models: Path | None = None, threads: int = 1
) -> list[Attacker]:
    """Build the attackers of some YAML files.

    Args:
        specs: the YAML files.
        models: folder in which their ONNX files lie; beside the YAML where it is None or has none.
        threads: of each network.

    Raises:
        ConfigError: a YAML is wrong, or two have one name.
        ModelError: an ONNX file is missing or does not fit.
    """
    attackers: list[Attacker] = []
    for path in specs:
        spec = read_spec(path)
        if spec.name in {a.name for a in attackers}:
            raise ConfigError(f"{path}: there is already an attacker called {spec.name}")
        if isinstance(spec, MeshSpec):
            attackers.append(MeshAttacker(spec, models, threads))
            continue
        folders = [*([models] if models is not None else []), path.parent]
        found = [folder / spec.file for folder in folders if (folder / spec.file).is_file()]
        if not found:
            places = " or ".join(str(folder) for folder in folders)
            raise ModelError(f"attacker {spec.name}: {spec.file} is not in {places}")
        attackers.append(Recogniser(spec, found[0], threads))
    return attackers


def load_recognisers(specs: Sequence[Path], models: Path | None = None) -> list[Recogniser]:
    """As ``load_attackers``, but what is no recogniser is passed over.

    Raises:
        ConfigError: a YAML is wrong, or two have one name.
        ModelError: an ONNX file is missing or does not fit.
    """
    named = [path for path in specs if isinstance(read_spec(path), AttackerSpec)]
    return recognisers(load_attackers(named, models))


def recognisers(attackers: Sequence[Attacker]) -> list[Recogniser]:
    """Those of them that were made to name people: a similarity of theirs means something."""
    return [attacker for attacker in attackers if isinstance(attacker, Recogniser)]
