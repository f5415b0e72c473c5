"""Where errors end: every one becomes one line and an exit code.

    0    everything that was asked for was wholly done
    1    something failed (and, where there were several inputs, the others were still done)
    2    the request itself was wrong, and nothing was started
    130  stopped by Ctrl-C, SIGTERM or SIGHUP

``-v`` adds the chain of causes, ``-vv`` the traceback. This module holds the package's only
handlers of ``Exception``: nothing a user can do shows a traceback by itself.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

import click

from stream_anon.errors import Cancelled, StreamAnonError, UsageError

OK, FAILED, USAGE, STOPPED = 0, 1, 2, 130


class Exit(Exception):
    """A command is done and has said all there is to say."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing is raised."""
    from stream_anon.cli.main import cli

    verbosity = _verbosity(arguments)
    try:
        code = cli.main(list(arguments), prog_name="stream-anon", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except Exit as done:
        return done.code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt, Cancelled):
        say("stopped: no unfinished output was left behind")
        return STOPPED
    except BrokenPipeError:
        # The reader went away (`| head`). Python would complain once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - the documented boundary
        explain(error, verbosity)
        return USAGE if isinstance(error, UsageError) else FAILED


def attempt(action: Callable[[], None]) -> Exception | None:
    """Do one of several things; hand back what went wrong, so that the others are still done.

    Raises:
        Cancelled: the whole run was stopped, not only this part.
    """
    try:
        action()
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 - the documented boundary, for one input of many
        return error
    return None


def describe(error: BaseException) -> str:
    """One line with the cause."""
    if isinstance(error, MemoryError):
        return "out of memory"
    words = " ".join(str(error).split())
    if isinstance(error, StreamAnonError):
        return words or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"internal error, please report it: {type(error).__name__}: {words}"


def explain(error: BaseException, verbosity: int = 0, prefix: str = "error: ") -> None:
    """Say what went wrong on stderr: one line, with ``-v`` its causes, with ``-vv`` where."""
    say(prefix + describe(error))
    if verbosity >= 2:
        say("".join(traceback.format_exception(error)).rstrip())
    elif verbosity == 1:
        cause = error.__cause__ or error.__context__
        while cause is not None:
            say(f"  because of {type(cause).__name__}: {' '.join(str(cause).split())}")
            cause = cause.__cause__ or cause.__context__


def say(words: str) -> None:
    """Print to stderr."""
    click.echo(words, err=True)


def fail_usage(words: str) -> NoReturn:
    """End with exit code 2.

    Raises:
        UsageError: always.
    """
    raise UsageError(words)


def _verbosity(arguments: Sequence[str]) -> int:
    """How often ``-v`` is given, wherever it stands: an error may come before it is parsed."""
    count = 0
    for argument in arguments:
        if argument == "--":
            break
        if argument == "--verbose":
            count += 1
        elif argument.startswith("-v") and set(argument[1:]) == {"v"}:
            count += len(argument) - 1
    return count
