"""What ``doctor`` asks the machine: each answer is tried, not looked up in a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from stream_anon import plugins
from stream_anon._version import __version__
from stream_anon.config import Config
from stream_anon.device import choose, gpus
from stream_anon.errors import ConfigError
from stream_anon.models import WEIGHTS, engine

_PACKAGES = ("av", "numpy", "openvino", "opencv-python-headless")
_OPTIONAL = (
    "torch", "onnx", "cupy-cuda13x", "cupy-cuda12x", "nvidia-dali-cuda130", "nvidia-dali-cuda120",
)  # fmt: skip
_DECODERS = ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mjpeg", "gif")
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}


def examine(models_dir: Path | None = None) -> dict[str, Any]:
    """Everything, in sections of names and answers; ``problems`` lists what `redact` lacks."""
    models, problems = _models(models_dir)
    decoders, encoders = _decoders(), _encoders()
    problems += [f"no decoder for {name}" for name in _DECODERS if name not in decoders]
    if "h264" not in encoders:
        problems.append("no encoder for h264 (libx264)")
    return {
        "versions": _versions(),
        "machine": _machine(),
        "video": {
            "decoders": decoders,
            "encoders": encoders,
            "NVDEC": _nvdec(),
            "DALI": _dali(),
            "NVENC": _nvenc(),
        },
        "models": models,
        "plug_ins": _plug_ins(),
        "what_is_used": _used(),
        "problems": problems,
    }


def _versions() -> dict[str, Any]:
    found: dict[str, Any] = {"stream-anon": __version__, "python": platform.python_version()}
    for name in (*_PACKAGES, *_OPTIONAL):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name in _PACKAGES:
                found[name] = None
    found["ffmpeg"] = _ffmpeg()
    return found


def _ffmpeg() -> str:
    import av

    return str(getattr(av, "ffmpeg_version_info", "")) or "unknown"


def _machine() -> dict[str, Any]:
    cards = [f"{card.name} ({card.memory_bytes / 2**30:.0f} GiB)" for card in gpus()]
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "bf16": _bf16(),
        "GPU": cards or "none (no NVIDIA driver, or it shows no GPU)",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _bf16() -> bool:
    """Whether OpenVINO's CPU plugin computes in bf16 here."""
    abilities: Iterable[str] = engine.core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in abilities


def _decoders() -> list[str]:
    import av

    return [name for name in _DECODERS if _known(av, name, "r")]


def _encoders() -> list[str]:
    import av

    found = [name for name, encoder in _ENCODERS.items() if _known(av, encoder, "w")]
    return [*found, "gif"] if _known(av, "gif", "w") else found


def _known(av: Any, name: str, mode: str) -> bool:
    try:
        av.codec.Codec(name, mode)
    except ValueError:
        return False
    return True


def _nvdec() -> str:
    from stream_anon.media.device import nvdec

    return _there(nvdec.missing("h264"))


def _dali() -> str:
    from stream_anon.media.device import dali

    return _there(dali.missing())


def _nvenc() -> str:
    from stream_anon.media.output import nvenc

    return _there(nvenc.missing("h264"))


def _there(missing: str | None) -> str:
    if missing is not None:
        return f"no ({missing})"
    return "yes" if gpus() else "no (no GPU)"


def _models(models_dir: Path | None) -> tuple[dict[str, Any], list[str]]:
    from stream_anon.models import registry

    found: dict[str, Any] = {}
    problems = []
    for name in registry.names():
        state, entry = registry.verify(name, models_dir), registry.describe(name)
        words = {
            "ok": "there, hash verified",
            "missing": "not here yet; fetched when needed, or by `stream-anon models pull`",
            "wrong": "WRONG: a file of that name does not match its hash and is not used",
        }[state]
        found[name] = f"{words} ({entry.licence})"
        if state == "wrong":
            problems.append(f"model '{name}': {entry.file} does not match its pinned hash")
        if state == "missing" and name == Config().detector.name:
            problems.append(f"model '{name}' is not here: stream-anon models pull {name}")
    for name in _own():
        there = all((WEIGHTS / f"{name}{kind}").is_file() for kind in (".onnx", ".safetensors"))
        found[name] = "there, part of the package" if there else "MISSING from the package"
        if not there:
            problems.append(f"network '{name}' is missing from {WEIGHTS}: install the package anew")
    found["searched"] = [str(folder) for folder in registry.folders(models_dir)]
    return found, problems


def _plug_ins() -> dict[str, list[str]]:
    """What other packages bring; each is loaded, and what cannot be is named with the reason."""
    found: dict[str, list[str]] = {}
    for kind in plugins.GROUPS:
        named = found[f"{kind}s"] = []
        for name in plugins.names(kind):
            try:
                plugins.load(kind, name)
            except ConfigError as error:
                named.append(str(error))
            else:
                named.append(name)
    return found


def _own() -> list[str]:
    """The package's own networks that the default method runs."""
    return ["identity_generator", "identity_encoder", "landmarks"]


def _used() -> dict[str, Any]:
    config = Config()
    device = choose(config.device)
    return {
        "device": f"{device.name}: {device.why}",
        "detector": f"{config.detector.name}, by OpenVINO",
        "precision": "bf16, where the processor has it" if _bf16() else "f32: no bf16 here",
        "method": f"{config.method.name} (default)",
        "decoder": "FFmpeg's on the CPU" if device.name == "cpu" else "NVDEC, DALI or the CPU",
        "encoder": "libx264 veryfast (default)" if device.name == "cpu" else "NVENC or libx264",
    }
