"""Asking: before something is lost, and for a secret. In a pipe there is nobody to ask, so the answer is no."""

from __future__ import annotations

import sys

from console.failures import say
from specs.problems import Problem, SpecError


def agreed(question: str, word: str) -> bool:
    """Ask, and take only the word itself as a yes."""
    if not sys.stdin.isatty():
        say(f"  {question} Nobody to ask here: add --yes.")
        return False
    return input(f"  {question} Type {word} to go on: ").strip() == word


def secret_value(key: str) -> str:
    """Read a secret from the terminal, twice and unseen, or from standard input. Raises `SpecError` if it is empty."""
    if sys.stdin.isatty():
        import getpass

        value = getpass.getpass(f"  {key}: ")
        if value != getpass.getpass(f"  {key}, once more: "):
            raise SpecError([Problem("standard input", 0, 0, key, "the two differ. Nothing was kept.", rule="secret")])
    else:
        value = sys.stdin.read().rstrip("\n")
    if not value:
        message = f"is empty. Type it, or: invoke secret {key} < FILE"
        raise SpecError([Problem("standard input", 0, 0, key, message, rule="secret")])
    return value
