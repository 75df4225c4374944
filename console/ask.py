"""Asking before something is lost. In a pipe there is nobody to ask, so the answer is no."""

from __future__ import annotations

import sys

from console.failures import say


def agreed(question: str, word: str) -> bool:
    """Ask, and take only the word itself as a yes."""
    if not sys.stdin.isatty():
        say(f"  {question} Nobody to ask here: add --yes.")
        return False
    return input(f"  {question} Type {word} to go on: ").strip() == word
