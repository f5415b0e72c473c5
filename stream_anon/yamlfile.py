"""YAML as it comes from outside: plain data of bounded size and depth, each key once.

PyYAML's safe loader makes no objects, but a few lines of text can still exhaust memory (aliases
that multiply) or the interpreter's stack (nesting), and a key that stands twice takes its last
value without a word.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

LARGEST: Final = 1 << 20
"""Characters."""

DEEPEST: Final = 16
"""Nested lists and mappings."""


class YamlError(ValueError):
    """The text is no YAML of the kind that is read here; the message is one line."""


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise YamlError("aliases (*name) are not read")
        self.depth += 1
        if self.depth > DEEPEST:
            raise YamlError(f"is nested deeper than {DEEPEST} levels")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise YamlError(f"'{key.value}' stands twice")
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.2 reads 1e-6 as a number, PyYAML's YAML 1.1 as a word.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)


def read(text: str) -> Any:
    """Plain data: mappings, lists, numbers, words, booleans, nothing.

    Raises:
        YamlError: with one line.
    """
    if len(text) > LARGEST:
        raise YamlError(f"is longer than {LARGEST} characters")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader with more limits
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error
    except YamlError:
        raise
    except (ValueError, OverflowError, RecursionError, TypeError) as error:
        # A date that is none, an integer of thousands of digits, a list as a key.
        raise YamlError(" ".join(str(error).split())) from error
