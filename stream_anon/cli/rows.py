"""Options in groups, several to a row, so that a command's whole help fits 24 lines of 80."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

LABEL, NAMES = 9, 33
"""Widths in characters of the first two columns of the table."""


class Option(click.Option):
    """An option that knows its group and, where it shares a line with another, its row."""

    def __init__(self, *args: Any, group: str, row: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group
        self.row = row or self.name

    def names(self) -> str:
        """How the option is written: ``-o, --output PATH``."""
        words = ", ".join(sorted(self.opts, key=len))
        return words if self.is_flag or self.count else f"{words} {self.metavar}"


def option(*names: str, group: str, **rest: Any) -> Callable[[Decorated], Decorated]:
    """``click.option`` for a row of the table; options with the same ``row`` share a line."""
    return click.option(*names, cls=Option, group=group, **rest)


class Command(click.Command):
    """A command whose help shows its options as a table of groups and rows."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        rows: dict[tuple[str, str | None], list[Option]] = {}
        for parameter in self.params:
            if isinstance(parameter, Option):
                rows.setdefault((parameter.group, parameter.row), []).append(parameter)
        order = list(dict.fromkeys(group for group, _ in rows))
        formatter.write("\n")
        for wanted in order:
            label = wanted
            for (group, _), options in rows.items():
                if group != wanted:
                    continue
                names = " | ".join(option.names() for option in options)
                text = next((option.help for option in options if option.help), "")
                formatter.write(f"{label:<{LABEL}}{names:<{NAMES}} {text}".rstrip() + "\n")
                label = ""
