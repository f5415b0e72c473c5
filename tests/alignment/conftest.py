"""The portrait that detectors are tried on."""

from tests.detection.conftest import portrait

__all__ = ["portrait"]
