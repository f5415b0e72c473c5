"""Pipelines and presets: the short files that a user copies and changes.

They lie at the top of a checkout (``pipelines/``, ``configs/``) and inside an installed package
(``stream_anon/_share``); both are found here by name. A pipeline is a Python file that says
which stages run in which order; a preset is a YAML file of options.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from stream_anon.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent
_CAMERAS = "cameras"
"""What ``live`` reads lies beside the presets, and is none."""


def _folder(kind: str) -> Path:
    installed = _PACKAGE / "_share" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def presets() -> list[str]:
    """Names of the presets; ``redact`` holds the defaults."""
    found = {path.stem for path in _folder("configs").glob("*.yaml")}
    return sorted(found - {_CAMERAS})


def preset(name: str) -> Path:
    """The YAML file of a preset.

    Raises:
        UsageError: there is none of that name.
    """
    return _find("configs", "preset", name, ".yaml")


def pipelines() -> list[str]:
    """Names of the pipelines."""
    return sorted(path.stem for path in _folder("pipelines").glob("[!_]*.py"))


def pipeline(name_or_path: str | Path) -> ModuleType:
    """Import a pipeline by name, or a user's own file by its path (ending in ``.py``).

    The file is executed: it is code, and is trusted like any other code one runs.

    Raises:
        UsageError: there is no such pipeline, or it is no valid Python.
    """
    given = Path(name_or_path)
    if given.suffix == ".py":
        if not given.is_file():
            raise UsageError(f"{given}: there is no such pipeline file")
        path, module_name = given, f"stream_anon_user_pipeline_{given.stem}"
    else:
        path = _find("pipelines", "pipeline", str(name_or_path), ".py")
        module_name = f"stream_anon_pipeline_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # Registered first: dataclasses and pickling look their module up by name.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        del sys.modules[module_name]
        raise UsageError(f"{path}: cannot be imported ({error})") from error
    return module


def _find(kind: str, word: str, name: str, suffix: str) -> Path:
    path = _folder(kind) / f"{name}{suffix}"
    if Path(name).name != name or not path.is_file():
        known = ", ".join(sorted(p.stem for p in _folder(kind).glob(f"[!_]*{suffix}")))
        raise UsageError(f"there is no {word} '{name}'; there are: {known or 'none'}")
    return path
