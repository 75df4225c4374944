from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.redact import MASK, Redactor

SECRET = 'p"ss w/rd+é\\x'


def through(values: list[str], content: bytes, size: int) -> bytes:
    redactor = Redactor(values)
    pieces = [redactor.feed(content[at : at + size]) for at in range(0, len(content), size)]
    return b"".join([*pieces, redactor.end()])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_secret_is_masked_however_it_is_cut(size: int) -> None:
    content = f"a {SECRET}, b{SECRET}{SECRET}c\n".encode()
    assert through([SECRET], content, size) == b"a ***, b******c\n"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"key": SECRET}),
        json.dumps({"key": SECRET}, ensure_ascii=False),
        f"https://x/?key={quote(SECRET, safe='')}",
        base64.b64encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        repr(SECRET),
    ],
)
def test_a_secret_in_another_dress_is_masked(text: str) -> None:
    content = f"log {text} end\n".encode()
    masked = through([SECRET], content, 5)
    assert masked.count(MASK) == 1
    assert all(
        part not in masked for part in (b"rd", SECRET.encode().hex()[:8].encode(), base64.b64encode(b'p"ss w/rd')[:9])
    )


def test_a_line_is_not_held_back_when_no_secret_can_begin_in_it() -> None:
    redactor = Redactor(["secret-value"])
    assert redactor.feed(b"epoch 1\n") == b"epoch 1\n"
    assert redactor.feed(b"see the secr") == b"see the "
    assert redactor.feed(b"etary\n") == b"secretary\n"
    assert redactor.feed(b"s") == b""
    assert redactor.end() == b"s"


def test_the_lines_of_a_key_are_masked_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijklmnopqrstuvwxyz0123\n-----END KEY-----\n"
    assert through([key], b"> abcdefghijklmnopqrstuvwxyz0123\n", 4) == b"> ***\n"


@given(
    secrets=st.lists(st.text("ab\n", min_size=6, max_size=9), max_size=3),
    content=st.text("ab\n.", max_size=60),
    sizes=st.integers(1, 9),
)
def test_cutting_changes_nothing(secrets: list[str], content: str, sizes: int) -> None:
    whole = through(secrets, content.encode(), len(content) + 1)
    cut = through(secrets, content.encode(), sizes)
    assert all(secret.encode() not in cut for secret in secrets)
    assert len(cut.replace(MASK, b"")) <= len(content)
    if not secrets:
        assert whole == cut == content.encode()


@pytest.mark.parametrize("size", [1, 4, 6, 7, 100])
def test_secrets_that_begin_alike_or_overlap_are_masked_whole(size: int) -> None:
    assert (
        through(["abcdef", "abcdefgh", "efghij"], b"-abcdefgh-abcdef-abcdefghij-efghij-", size)
        == b"-***-***-***ij-***-"
    )


def test_without_secrets_bytes_pass_as_they_are() -> None:
    assert through([], bytes(range(256)), 16) == bytes(range(256))
