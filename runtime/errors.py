"""Every error of ours, cut by what the caller may do next.

TrainyardError                1  give up, report
├─ SpecError                  2  fix the input: file, line, column, field, value given, values allowed
├─ NotDeployedError           3  deploy first (`invoke up`)
├─ TargetError                4  choose another target, or change the stack
├─ RefusedError               5  the service said no: its code, its words, what to do about it
├─ ConnectionLostError        6  repeat later: nothing is known to have changed
├─ SubmissionError            7  repeat safely: the run certainly did not start
├─ SubmissionUnknownError     8  look for it: carries the run id
├─ NotFoundError              9  name another run, model or file
├─ StoreError                10  repair the run store; nothing in it was touched
└─ HeldBackError             11  one of our own safeguards held: say that you mean it, or change the shell

The numbers are the exit codes of the command line; the engine adds 12 (another operation holds the stack) and 13 (the
passphrase is wrong or lost) in `engine/errors.py`. Foreign exceptions are translated at three seams only:
`transport.py` (sockets, TLS, HTTP), `access.py` (azure-identity) and `store.py` (SQLite).
"""

from __future__ import annotations

from specs.problems import Problem, SpecError, TrainyardError

__all__ = [
    "ConnectionLostError",
    "HeldBackError",
    "NotDeployedError",
    "NotFoundError",
    "Problem",
    "RefusedError",
    "SpecError",
    "StoreError",
    "SubmissionError",
    "SubmissionUnknownError",
    "TargetError",
    "TrainyardError",
]


class NotDeployedError(TrainyardError):
    """The stack was never brought up, or this clone doesn't know it."""

    exit_code = 3

    def __init__(self, stack: str, why: str = "was never brought up here") -> None:
        self.stack = stack
        super().__init__(f"stack {stack} {why}. First: invoke up --stack {stack}")


class TargetError(TrainyardError):
    """The target exists and can't do what was asked."""

    exit_code = 4


class RefusedError(TrainyardError):
    """The service said no."""

    exit_code = 5

    def __init__(self, message: str, *, code: str = "", status: int = 0, advice: str = "") -> None:
        self.code, self.status, self.advice = code, status, advice
        head = f"{message.rstrip('.')}. [{code}]" if code else message
        super().__init__(f"{head}\n  {advice}" if advice else head)


class ConnectionLostError(TrainyardError):
    """No answer came; `unknown` tells whether the request may have been carried out all the same."""

    exit_code = 6

    def __init__(self, message: str, *, unknown: bool = False) -> None:
        self.unknown = unknown
        super().__init__(message)


class SubmissionError(TrainyardError):
    """The run certainly did not start; submitting again is safe."""

    exit_code = 7


class SubmissionUnknownError(TrainyardError):
    """Whether the run started is not known yet; its id is."""

    exit_code = 8

    def __init__(self, run_id: str, why: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"{run_id}: the job was sent, but no answer came ({why}). It may be running: don't submit it again.\n"
            f"  Look for it: invoke logs {run_id}"
        )


class NotFoundError(TrainyardError):
    """There is no such run, model or file."""

    exit_code = 9


class StoreError(TrainyardError):
    """The run store can't be read or written."""

    exit_code = 10


class HeldBackError(TrainyardError):
    """One of our own safeguards held; the message says how to go on."""

    exit_code = 11
