"""Ways to anonymize a face, one file each, all of the shape of ``Method``."""

from __future__ import annotations

from collections.abc import Callable

from stream_anon.config import MethodConfig
from stream_anon.errors import ConfigError
from stream_anon.methods.base import Method, Rendered, Subject
from stream_anon.methods.blur import Blur
from stream_anon.methods.fill import Fill
from stream_anon.methods.pixelate import Pixelate

__all__ = ["METHODS", "Blur", "Fill", "Method", "Pixelate", "Rendered", "Subject", "make_method"]


def make_method(config: MethodConfig) -> Method:
    """Build the method that a configuration names.

    Raises:
        ConfigError: there is no method of that name, or its options do not fit.
        ModelError: it needs weights that are missing.
    """
    make = _MAKERS.get(config.name)
    if make is None:
        raise ConfigError(f"there is no method '{config.name}'; there are {', '.join(METHODS)}")
    return make(config)


def _identity(config: MethodConfig) -> Method:
    from stream_anon.methods.identity import Identity

    return Identity(config)


def _dp_image(config: MethodConfig) -> Method:
    from stream_anon.methods.dp_image import DPImage

    return DPImage(config)


def _visual_mixer(config: MethodConfig) -> Method:
    from stream_anon.methods.visual_mixer import VisualMixer

    return VisualMixer(config.vfe)


_MAKERS: dict[str, Callable[[MethodConfig], Method]] = {
    "identity": _identity,
    "dp-image": _dp_image,
    "visual-mixer": _visual_mixer,
    "pixelate": lambda config: Pixelate(config.cells),
    "blur": lambda config: Blur(config.blur),
    "fill": lambda config: Fill(config.colour),
}

METHODS = tuple(_MAKERS)
"""Names of the methods."""
