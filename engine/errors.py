"""What the engine's caller may catch: one class, because the answer is always the same: read the hint, then type it."""

from __future__ import annotations


class EngineError(Exception):
    """The engine could not be had, refused, or failed. `message` says what happened, `hint` what to type next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message
