"""Keep the values of secrets out of a stream of bytes that comes in pieces: each becomes `***`, however it is cut.

Also where a program writes one escaped for JSON or a URL, in base64 or in hexadecimal. A program that means to give a
secret away can: this is for accidents.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = b"***"
SHORTEST = 6
"""Characters of a value that can be kept out: shorter ones are in many innocent lines."""


def forms(value: str) -> set[bytes]:
    """Return the ways in which programs write a value."""
    raw = value.encode("utf-8", "surrogatepass")
    texts = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    texts |= {quote(raw, safe=""), quote(raw), quote_plus(raw), raw.hex(), raw.hex().upper(), repr(value)[1:-1]}
    found = {text.encode("utf-8", "surrogatepass") for text in texts}
    return {*found, *_in_base64(raw), *filter(None, _lines(raw))}


def _in_base64(raw: bytes) -> Iterable[bytes]:
    """Return a value in base64, alone and as the end or middle of something longer, such as `user:password`.

    Three bytes are four characters, so there are three places where a value can begin, and the characters that it
    shares with its neighbours are left out.
    """
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(raw)
        yield from (whole, whole.rstrip(b"="))
        for before in range(3):
            first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
            inner = encode(bytes(before) + raw)[first:last]
            if len(inner) >= SHORTEST:
                yield inner


def _lines(raw: bytes) -> Iterable[bytes]:
    """Return the longer lines of a value of several, such as a key: logs show them one by one."""
    lines = raw.splitlines()
    return (line.strip() for line in lines if len(line.strip()) >= 4 * SHORTEST) if len(lines) > 1 else ()


class Redactor:
    """Masks some values in one stream. Holds back only what may be the beginning of one."""

    def __init__(self, values: Iterable[str]) -> None:
        self._forms = sorted({form for value in values for form in forms(value)}, key=len, reverse=True)
        self._any = re.compile(b"|".join(map(re.escape, self._forms))) if self._forms else None
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be written now."""
        if self._any is None:
            return chunk
        text = self._held + chunk
        cut = len(text) - self._begun(text)
        for found in self._any.finditer(text):
            if found.start() < cut < found.end():
                cut = found.start()
        self._held = text[cut:]
        return self._any.sub(MASK, text[:cut])

    def end(self) -> bytes:
        """Return the rest, when nothing more comes."""
        rest, self._held = self._held, b""
        return rest if self._any is None else self._any.sub(MASK, rest)

    def _begun(self, text: bytes) -> int:
        """Return the length of the longest end of a text that a value may begin with."""
        return max((_overlap(text, form) for form in self._forms), default=0)


def _overlap(text: bytes, form: bytes) -> int:
    start = max(0, len(text) - len(form) + 1)
    while (start := text.find(form[:1], start)) >= 0:
        if form.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0
