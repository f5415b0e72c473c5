"""The command group: knows every command's name and one line about it, and loads none."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

import click

from stream_anon._version import __version__


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command that is imported when it is called: ``module:attribute`` and one line of help."""

    target: str
    help: str

    @property
    def module(self) -> str:
        """The module that holds the command."""
        return self.target.partition(":")[0]

    def load(self) -> click.Command:
        """Import it."""
        module, _, attribute = self.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is no command")
        return command


COMMANDS = {
    "redact": Lazy("stream_anon.cli.commands.redact:redact", "Cover every face in videos."),
    "analyze": Lazy(
        "stream_anon.cli.commands.analyze:analyze", "Write who is where to a Tracks file."
    ),
    "tracks": Lazy(
        "stream_anon.cli.commands.tracks:tracks", "Look into a Tracks file and edit it."
    ),
    "render": Lazy("stream_anon.cli.commands.render:render", "Cover what a Tracks file says."),
    "live": Lazy("stream_anon.cli.commands.live:live", "Anonymize cameras, for months."),
    "doctor": Lazy("stream_anon.cli.commands.doctor:doctor", "Say what this machine can do."),
    "models": Lazy(
        "stream_anon.cli.commands.models:models", "List, fetch and check network weights."
    ),
    "config": Lazy(
        "stream_anon.cli.commands.config:config", "Print every option, commented, as YAML."
    ),
    "bench": Lazy(
        "stream_anon.cli.commands.bench:bench", "Compare the speed with a bare transcode."
    ),
    "budget": Lazy("stream_anon.cli.commands.budget:budget", "Say what a privacy budget means."),
    "mix": Lazy(
        "stream_anon.cli.commands.mix:mix", "Shuffle the faces of a data set (VisualMixer)."
    ),
    "train": Lazy("stream_anon.cli.commands.train:train", "Train the networks (needs [train])."),
    "evaluate": Lazy(
        "stream_anon.cli.commands.evaluate:evaluate", "Measure recall, leaks and likeness."
    ),
    "completion": Lazy(
        "stream_anon.cli.commands.completion:completion", "Print a shell completion script."
    ),
}


class Group(click.Group):
    """Commands by name; a command whose module is not part of this installation is not shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return [name for name, lazy in COMMANDS.items() if importlib.util.find_spec(lazy.module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return COMMANDS[cmd_name].load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, "--version", message="stream-anon %(version)s")
def cli() -> None:
    """The same video, its faces covered: a frame leaves covered or not at all.
    Start with:  stream-anon redact street.mp4 -o out.mp4
    """
