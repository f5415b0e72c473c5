"""Ways to anonymize a face, one file each, all of the shape of ``Method``."""

from __future__ import annotations

from stream_anon.config import MethodConfig
from stream_anon.errors import ConfigError
from stream_anon.methods.base import Method, Rendered, Subject
from stream_anon.methods.blur import Blur
from stream_anon.methods.fill import Fill
from stream_anon.methods.pixelate import Pixelate

__all__ = ["Blur", "Fill", "Method", "Pixelate", "Rendered", "Subject", "make_method"]


def make_method(config: MethodConfig) -> Method:
    """Build the method that a configuration names.

    Raises:
        ConfigError: there is no method of that name.
    """
    if config.name == "pixelate":
        return Pixelate(config.cells)
    if config.name == "blur":
        return Blur(config.blur)
    if config.name == "fill":
        return Fill(config.colour)
    raise ConfigError(f"option 'method.name': no method is called '{config.name}'")
