"""Ways to anonymize a face, one file each, all of the shape of ``Method``."""

from __future__ import annotations

from stream_anon.config import MethodConfig
from stream_anon.errors import ConfigError
from stream_anon.methods.base import Method, Rendered, Subject
from stream_anon.methods.blur import Blur
from stream_anon.methods.fill import Fill
from stream_anon.methods.pixelate import Pixelate

__all__ = ["METHODS", "Blur", "Fill", "Method", "Pixelate", "Rendered", "Subject", "make_method"]

METHODS = ("pixelate", "blur", "fill")
"""Names of the methods, the default first."""


def make_method(config: MethodConfig) -> Method:
    """Build the method that a configuration names.

    Raises:
        ConfigError: there is no method of that name, or its options do not fit.
        ModelError: it needs weights that are missing.
    """
    if config.name == "pixelate":
        return Pixelate(config.cells)
    if config.name == "blur":
        return Blur(config.blur)
    if config.name == "fill":
        return Fill(config.colour)
    raise ConfigError(f"there is no method '{config.name}'; there are {', '.join(METHODS)}")
