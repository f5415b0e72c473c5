"""The version, read by the build and by the run report."""

__version__ = "0.1.0"
