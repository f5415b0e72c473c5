"""Ways to anonymize a face, one file each, all of the shape of ``Method``."""

from __future__ import annotations

from collections.abc import Callable

from stream_anon import plugins
from stream_anon.config import MethodConfig, MethodSection
from stream_anon.errors import ConfigError, StreamAnonError
from stream_anon.methods.base import Method, Rendered, Subject
from stream_anon.methods.blur import Blur
from stream_anon.methods.fill import Fill
from stream_anon.methods.pixelate import Pixelate
from stream_anon.methods.workplace import HOST, Workplace

__all__ = [
    "METHODS",
    "Blur",
    "Fill",
    "Method",
    "Pixelate",
    "Rendered",
    "Subject",
    "known_methods",
    "make_method",
]


def make_method(config: MethodSection, place: Workplace = HOST) -> Method:
    """Build the method that a configuration names.

    Args:
        config: the section of a method of ours, or of a plug-in's.
        place: where it works; a plug-in's works on the host.

    Raises:
        ConfigError: there is no method of that name, its options do not fit, or it is that of a
            plug-in that is broken.
        ModelError: it needs weights that are missing.
    """
    make = _MAKERS.get(config.name)
    if make is not None and isinstance(config, MethodConfig):
        return make(config, place)
    kind = plugins.load_class("method", config.name, Method, MethodSection)
    if kind is None:
        raise plugins.unknown("method", config.name, METHODS)
    section: type[MethodSection] = kind.Options  # type: ignore[attr-defined]
    if not isinstance(config, section):
        # Named alone, as by --method: its options are at their defaults.
        config = section(name=config.name)
    try:
        made: Method = kind(config)
    except StreamAnonError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        raise ConfigError(
            f"method '{config.name}' could not be made: {type(error).__name__}: {why}"
        ) from error
    return made


def known_methods() -> tuple[str, ...]:
    """Names of the methods that come with the package, then of those of plug-ins."""
    return (*METHODS, *(name for name in plugins.names("method") if name not in METHODS))


def _identity(config: MethodConfig, place: Workplace) -> Method:
    from stream_anon.methods.identity import Identity

    return Identity(config, backend=place.backend)


def _dp_image(config: MethodConfig, place: Workplace) -> Method:
    from stream_anon.methods.dp_image import DPImage

    return DPImage(config, backend=place.backend)


def _visual_mixer(config: MethodConfig, place: Workplace) -> Method:
    if place.kernels is not None:
        from stream_anon.methods.device.mixer import DeviceVisualMixer

        return DeviceVisualMixer(place.kernels, config.vfe)
    from stream_anon.methods.visual_mixer import VisualMixer

    return VisualMixer(config.vfe)


def _pixelate(config: MethodConfig, place: Workplace) -> Method:
    if place.kernels is not None:
        from stream_anon.methods.device.covers import DevicePixelate

        return DevicePixelate(place.kernels, config.cells)
    return Pixelate(config.cells)


def _blur(config: MethodConfig, place: Workplace) -> Method:
    if place.kernels is not None:
        from stream_anon.methods.device.covers import DeviceBlur

        return DeviceBlur(place.kernels, config.blur)
    return Blur(config.blur)


def _fill(config: MethodConfig, place: Workplace) -> Method:
    if place.kernels is not None:
        from stream_anon.methods.device.covers import DeviceFill

        return DeviceFill(place.kernels, config.colour)
    return Fill(config.colour)


_MAKERS: dict[str, Callable[[MethodConfig, Workplace], Method]] = {
    "identity": _identity,
    "dp-image": _dp_image,
    "visual-mixer": _visual_mixer,
    "pixelate": _pixelate,
    "blur": _blur,
    "fill": _fill,
}

METHODS = tuple(_MAKERS)
"""Names of the methods that come with the package."""
