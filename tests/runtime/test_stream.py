from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import submitters
from runtime.errors import ConnectionLostError, NotFoundError
from runtime.events import Event
from runtime.records import Record
from runtime.runs import Run
from runtime.site import Look, Metrics
from runtime.stream import READ_MOST_S, Sanitiser, sanitised, stream

if TYPE_CHECKING:
    from runtime.site import Site

LOG = "user_logs/std_log.txt"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"plain\ttext\r\n", b"plain\ttext\r\n"),
        (b"\x1b[31mred\x1b[0m", b"red"),
        (b"\x1b]0;title\x07after", b"after"),
        (b"\x1b]52;c;ZXZpbA==\x1b\\after", b"after"),
        (b"\x1bPqsixel\x1b\\after", b"after"),
        (b"a\x00b\x08c\x7fd", b"abcd"),
        ("é€\x9b31m".encode(), "é€31m".encode()),
        (b"\xff\xfe", "\ufffd\ufffd".encode()),
    ],
)
def test_a_terminal_gets_text_only(written: bytes, shown: bytes) -> None:
    assert sanitised(written) == shown


@given(
    st.lists(
        st.sampled_from([b"\x1b", b"[31m", b"]0;t", b"\x07", b"\\", b"P", b"x", b"\n", "é€".encode(), b"\xe2", b"\x82"])
    )
)
def test_pieces_show_what_the_whole_shows(pieces: list[bytes]) -> None:
    sanitiser = Sanitiser()
    shown = b"".join(sanitiser.feed(piece) for piece in pieces) + sanitiser.end()
    assert b"\x1b" not in shown
    assert shown == sanitised(b"".join(pieces))


@dataclass
class Script:
    """A submitter that plays a log and states over a held clock; `away` are the moments without a service."""

    site: Site
    lines: list[tuple[float, bytes]]
    end: float
    away: tuple[float, float] = (-1.0, -1.0)
    asked: list[float] = field(default_factory=list)

    def _there(self) -> float:
        now = self.site.clock.monotonic()
        if self.away[0] <= now < self.away[1]:
            raise ConnectionLostError("no answer: cut")
        return now

    def look(self, _site: Site, _record: Record) -> Look:
        now = self._there()
        return Look("Completed" if now >= self.end else "Running", logs={LOG: LOG})

    def read_log(self, _site: Site, _record: Record, address: str, offset: int) -> bytes:
        now = self._there()
        self.asked.append(now)
        return b"".join(line for at, line in self.lines if at <= now)[offset:]

    def params(self, _site: Site, _record: Record) -> dict[str, str]:
        return {}

    def metrics(self, _site: Site, _record: Record) -> Metrics:
        return {"accuracy": 0.9}

    def nodes(self, _site: Site, _record: Record) -> int | None:
        return None


def a_run(site: Site, script: Script, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(submitters, "of", lambda _kind: script)
    values = {"id": "r", "kind": "Local", "target": "local", "experiment": "e", "token": "t", "created": "c"}
    record = Record.model_validate({**values, "phase": "acknowledged"})
    site.store.insert(record)
    return Run(record, site)


def test_every_line_is_shown_once_and_within_half_a_second(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [(at * 0.73, f"line {at}\n".encode()) for at in range(40)]
    run = a_run(site, Script(site, lines, end=30.0), monkeypatch)
    shown: list[tuple[float, bytes]] = []
    ended = stream(run, lambda chunk: shown.append((site.clock.monotonic(), chunk)))
    assert b"".join(chunk for _, chunk in shown) == b"".join(line for _, line in lines)
    assert (ended.state, ended.metrics) == ("Completed", {"accuracy": 0.9})
    arrived = {line: at for at, chunk in shown for line in chunk.splitlines(keepends=True)}
    assert max(arrived[line] - at for at, line in lines) <= READ_MOST_S < 0.5


def test_a_lost_connection_is_waited_out_without_gap_or_repeat(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [(float(at), f"line {at}\n".encode()) for at in range(20)]
    run = a_run(site, Script(site, lines, end=20.0, away=(5.0, 12.0)), monkeypatch)
    shown: list[bytes] = []
    said: list[Event] = []
    stream(run, shown.append, on_event=said.append)
    assert b"".join(shown) == b"".join(line for _, line in lines)
    assert said == [
        Event("state", "Running"),
        Event("log", LOG),
        Event("note", "connection lost, waiting for it (no answer: cut). The run goes on"),
        Event("note", "the connection is back"),
        Event("state", "Completed"),
    ]


def test_a_service_that_stays_away_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(site, Script(site, [], end=9999.0, away=(5.0, 9999.0)), monkeypatch)
    with pytest.raises(ConnectionLostError):
        stream(run, lambda _: None)
    assert 300 < site.clock.monotonic() < 310


def test_a_run_that_had_ended_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(site, Script(site, [], end=0.0, away=(0.0, 9999.0)), monkeypatch)
    ended = Run(run.record.model_copy(update={"state": "Completed"}), site)
    said: list[Event] = []
    with pytest.raises(ConnectionLostError, match="no answer: cut"):
        stream(ended, lambda _: None, on_event=said.append)
    assert (said, site.clock.monotonic()) == ([], 0.0)


def test_leaving_a_stream_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(site, Script(site, [(1.0, b"line\n")], end=9999.0), monkeypatch)

    def leave(_chunk: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(run, leave)
    kept = site.store.get("r")
    assert kept is not None
    assert (kept.state, kept.cancel_requested) == ("Running", False)


def test_an_open_line_is_ended_before_anything_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(site, [(0.0, b"one\n"), (1.0, b"two")], end=20.0, away=(5.0, 8.0))
    run = a_run(site, script, monkeypatch)
    shown: list[bytes] = []
    said: list[Event] = []
    stream(run, shown.append, on_event=said.append)
    assert b"".join(shown) == b"one\ntwo"
    assert said[-4:] == [
        Event("newline", ""),
        Event("note", "connection lost, waiting for it (no answer: cut). The run goes on"),
        Event("note", "the connection is back"),
        Event("state", "Completed"),
    ]


@pytest.mark.parametrize(("terminal", "last"), [(False, b"end"), (True, b"end\x1b[0m"), (True, b"\n\xe2")])
def test_a_log_without_a_last_newline_is_not_glued_to_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch, *, terminal: bool, last: bytes
) -> None:
    said: list[Event] = []
    run = a_run(site, Script(site, [(0.0, last)], end=1.0), monkeypatch)
    stream(run, lambda _: None, on_event=said.append, terminal=terminal)
    assert said[-2:] == [Event("newline", ""), Event("state", "Completed")]


def test_an_open_line_is_ended_before_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(site, [(0.0, b"half")], end=9999.0)
    run = a_run(site, script, monkeypatch)
    said: list[Event] = []
    looks = iter([Look("Running", logs={LOG: LOG})] * 3)
    monkeypatch.setattr(script, "look", lambda *_: next(looks, Look("Unknown", reason="gone", lost=True)))
    with pytest.raises(NotFoundError, match="r: gone"):
        stream(run, lambda _: None, on_event=said.append)
    assert said[-1] == Event("newline", "")


def test_why_a_run_failed_is_left_to_whoever_gets_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(site, [], end=1.0)
    run = a_run(site, script, monkeypatch)
    monkeypatch.setattr(script, "look", lambda *_: Look("Failed", reason="the command exited with code 7"))
    said: list[Event] = []
    ended = stream(run, lambda _: None, on_event=said.append)
    assert (ended.record.reason, said[-1]) == ("the command exited with code 7", Event("state", "Failed"))
