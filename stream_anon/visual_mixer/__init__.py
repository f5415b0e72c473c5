"""VisualMixer for data sets: a transform for training pipelines, and a tool for folders.

``VisualMixer`` needs torch (the extra ``train``); ``mix_folder`` does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_anon.visual_mixer.folder import FolderResult, MixOptions, mix_folder

if TYPE_CHECKING:
    from stream_anon.visual_mixer.transform import VisualMixer

__all__ = ["FolderResult", "MixOptions", "VisualMixer", "mix_folder"]


def __getattr__(name: str) -> Any:
    if name == "VisualMixer":
        from stream_anon.visual_mixer.transform import VisualMixer

        return VisualMixer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
