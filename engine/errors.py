"""What the engine's caller may catch: one class, because the answer is always the same: read the hint, then type it."""

from __future__ import annotations

FAILED = 1
NOT_DEPLOYED = 3
"""As of `runtime.errors.NotDeployedError`: the stack was never brought up."""
LOCKED = 12
PASSPHRASE = 13
"""The passphrase is missing, or is another one."""


class EngineError(Exception):
    """The engine could not be had, refused, or failed. `message` says what happened, `hint` what to type next."""

    def __init__(self, message: str, hint: str = "", *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message
