"""What is measured: a method with its options, written as ``identity:mechanism=vmf,epsilon=8``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import yaml

from stream_anon import config as configuration
from stream_anon.errors import ConfigError
from stream_anon.methods import Method, make_method

CLEAR = "clear"
"""The condition that changes nothing: the ceiling of every table."""

BASELINES = ("fill", "pixelate", "blur")
MECHANISMS = ("krr", "laplace", "l2-laplace", "gaussian", "vmf", "privunit")
EPSILONS = (1.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0)
QUICK_EPSILONS = (1.0, 16.0, 1024.0)
GENERATORS = ("identity", "dp-image")
"""Methods whose rendering rests on the package's own weights."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One method with its options.

    Attributes:
        method: name of the method, or ``clear``.
        options: of the ``method`` section of the configuration, without its name.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = ",".join(f"{key}={_plain(value)}" for key, value in self.options.items())
        return f"{self.method}:{words}" if words else self.method

    def config(self, base: configuration.Config | None = None) -> configuration.Config:
        """The whole configuration with this method in it.

        Args:
            base: everything else; None takes the defaults.

        Raises:
            ConfigError: the method has no such option, or a value is out of range.
        """
        data = (base or configuration.Config()).model_dump()
        data["method"] = {"name": self.method, **self.options}
        return configuration.parse(data, origin=f"condition '{self}'")

    def build(self) -> Method:
        """The method, ready to render.

        Raises:
            ConfigError: there is no such method or option.
            ModelError: its weights are missing.
        """
        return make_method(self.config().method)

    def fingerprint(self) -> str:
        """Stands for everything that decides the rendering: options, code and weights."""
        digest = hashlib.sha256(str(self).encode())
        for package in (
            "alignment",
            "methods",
            "methods.generative",
            "models",
            "pipeline.painting",
            "privacy",
            "visual_mixer",
        ):
            for file in sorted(resources.files(f"stream_anon.{package}").iterdir(), key=str):
                if file.name.endswith(".py"):
                    digest.update(file.name.encode() + file.read_bytes())
        if self.method in GENERATORS:
            weights = resources.files("stream_anon.models").joinpath("weights")
            for file in sorted(weights.iterdir(), key=lambda f: f.name):
                if file.is_file() and file.name.endswith((".npz", ".xml", ".onnx", ".safetensors")):
                    digest.update(file.name.encode() + file.read_bytes())
        return digest.hexdigest()[:24]


def parse(text: str) -> Condition:
    """Read ``name`` or ``name:key=value,key=value``; values are read as YAML.

    Raises:
        ConfigError: it is not of that form.
    """
    name, _, rest = text.strip().partition(":")
    mapping, keys = re.subn(r"(^|,)\s*([A-Za-z_]\w*)=", r"\1 \2: ", rest)
    try:
        options = yaml.safe_load(f"{{{mapping}}}")
    except yaml.YAMLError as error:
        raise ConfigError(f"condition '{text}': '{rest}' is not KEY=VALUE,...") from error
    if not isinstance(options, dict) or len(options) != keys:
        raise ConfigError(f"condition '{text}': '{rest}' is not KEY=VALUE,...")
    if not name:
        raise ConfigError(f"condition '{text}': names no method")
    return Condition(name, options)


def dial(
    method: str = "identity",
    mechanisms: Sequence[str] = MECHANISMS,
    epsilons: Sequence[float] = EPSILONS,
) -> list[Condition]:
    """The control (an independent draw, epsilon 0) and every mechanism at every epsilon."""
    control = Condition(method, {"mechanism": "independent"})
    steps = [
        Condition(method, {"mechanism": mechanism, "epsilon": epsilon})
        for mechanism in mechanisms
        for epsilon in epsilons
    ]
    return [control, *steps]


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
