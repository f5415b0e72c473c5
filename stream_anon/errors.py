"""Every error this package raises on purpose.

    StreamAnonError
    |-- UsageError            the caller asked for something that makes no sense (exit code 2)
    |   `-- ConfigError       a configuration value or key is wrong
    |-- InputError            a file cannot be opened, is no video, or breaks while it is read
    |   `-- TracksError       a Tracks file is damaged, was changed, or belongs to another input
    |-- OutputError           the result cannot be written: no space, no permission, no such codec
    |-- ModelError            network weights are missing, or are not the ones that were pinned
    |-- Fault                 a part of the pipeline failed while frames were flowing
    |   |-- DetectorFault     the detector raised, or answered with something that is no face
    |   |-- TrackerFault      the tracker raised
    |   |-- AnalysisFault     it is not known what is in a frame
    |   |-- MethodFault       a method raised, or answered in the wrong shape
    |   |-- FrameFault      a frame is corrupt, or changed size or pixel format mid-stream
    |   `-- StallFault        a part gave no answer within its time limit
    |-- GateError             something tried to pass the gate without being cleared
    |-- VerificationError     the finished file shows a face as it was, or could not be checked
    `-- Cancelled             the run was stopped from outside (Ctrl-C, SIGTERM)

A message is one line that names the file or option and the cause; it never
carries a frame, an identity code, a key or a credential.
"""

from __future__ import annotations

import traceback


class StreamAnonError(Exception):
    """Base of all errors raised on purpose."""


class UsageError(StreamAnonError):
    """The request itself is wrong: nothing was read or written."""


class ConfigError(UsageError):
    """A configuration key is unknown or its value is out of range."""


class InputError(StreamAnonError):
    """The input cannot be opened, holds no video, or breaks while it is read."""


class TracksError(InputError):
    """A Tracks file is damaged, was changed in place, or belongs to another input."""


class OutputError(StreamAnonError):
    """The output cannot be written."""


class ModelError(StreamAnonError):
    """Network weights are missing or do not match their pinned hash."""


class Fault(StreamAnonError):
    """A part of the pipeline failed; the frames concerned were not released."""


class DetectorFault(Fault):
    """The detector raised or gave an answer that describes no face."""


class TrackerFault(Fault):
    """The tracker raised."""


class AnalysisFault(Fault):
    """It is not known what is in a frame: nobody analysed it, or its analysis failed."""


class MethodFault(Fault):
    """A method raised or answered with the wrong shape or type."""


class FrameFault(Fault):
    """A frame is corrupt, or its size or pixel format changed mid-stream."""


class StallFault(Fault):
    """A part of the pipeline gave no answer within its time limit."""


class GateError(StreamAnonError):
    """A frame that was not cleared was about to reach an encoder."""


class VerificationError(StreamAnonError):
    """The finished file shows a face of the input unchanged, or could not be checked.

    Attributes:
        report: the run's report (``stream_anon.pipeline.report.Report``), None where there is none.
    """

    report: object | None = None


class Cancelled(StreamAnonError):
    """The run was stopped from outside before it was whole."""


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that a device's memory is full."""
    while error is not None:
        # CuPy's is a MemoryError, torch's a RuntimeError of this name.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        error = error.__cause__
    return False


def let_go(error: BaseException | None) -> None:
    """Empty the frames that an error came through, so that what they held is free again.

    As long as an error is handled its traceback keeps every array of the work that failed: who
    tries again with less of a device's memory would find it still taken.
    """
    met: set[int] = set()
    while error is not None and id(error) not in met:
        met.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
