"""Which logs are shown, and that lines of several ranks never mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import submitters
from runtime.errors import SpecError
from runtime.loglines import LONGEST, Prefixer, Wanted, chosen, lines_before, tag
from runtime.records import Record
from runtime.runs import Run
from runtime.site import Look, Metrics
from runtime.stream import stream

if TYPE_CHECKING:
    from runtime.site import Site

RANKS = tuple(f"user_logs/std_log_process_{rank}.txt" for rank in range(2))
MPI = "user_logs/std_log_mpirun.txt"
BUILD = "azureml-logs/20_image_build_log.txt"


class Logs:
    """A submitter with these logs, of a run that has ended."""

    def __init__(self, logs: dict[str, bytes], state: str = "Completed") -> None:
        self.logs, self.state = logs, state

    def look(self, _site: Site, _record: Record) -> Look:
        return Look(self.state, logs={name: name for name in self.logs})  # type: ignore[arg-type]  # a state's name

    def read_log(self, _site: Site, _record: Record, address: str, offset: int) -> bytes:
        return self.logs[address][offset : offset + 7]

    def params(self, _site: Site, _record: Record) -> dict[str, str]:
        return {}

    def metrics(self, _site: Site, _record: Record) -> Metrics:
        return {}

    def nodes(self, _site: Site, _record: Record) -> int | None:
        return None


def shown(site: Site, monkeypatch: pytest.MonkeyPatch, logs: Logs, wanted: Wanted, *, terminal: bool = False) -> bytes:
    monkeypatch.setattr(submitters, "of", lambda _kind: logs)
    values = {"id": "r", "kind": "Local", "target": "local", "experiment": "e", "token": "t", "created": "c"}
    record = Record.model_validate({**values, "phase": "acknowledged"})
    site.store.insert(record)
    pieces: list[bytes] = []
    stream(Run(record, site), pieces.append, terminal=terminal, wanted=wanted)
    return b"".join(pieces)


LINES = {BUILD: b"built\n", RANKS[0]: b"zero one\nzero two", RANKS[1]: b"one one\r\none two\n", MPI: b"mpi says\n"}


def test_lines_of_several_ranks_begin_with_their_rank(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(site, monkeypatch, Logs(LINES), Wanted()).splitlines(keepends=True) == [
        b"built\n",
        b"[0] zero one\n",
        b"[1] one one\r\n",
        b"[1] one two\n",
        b"[mpirun] mpi says\n",
        b"[0] zero two\n",
    ]


@pytest.mark.parametrize("word", [RANKS[1], "std_log_process_1.txt", "std_log_process_1", "1"])
def test_one_log_alone_comes_byte_by_byte(site: Site, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    assert shown(site, monkeypatch, Logs(LINES), Wanted(only=(word,))) == LINES[RANKS[1]]


@pytest.mark.parametrize("content", [b"a\x00b\xff\r\n\x1b[31mno end", b"\n\n\n", b"x" * 1000])
def test_the_log_of_a_job_with_one_process_comes_byte_by_byte(
    site: Site, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    assert shown(site, monkeypatch, Logs({"user_logs/std_log.txt": content}), Wanted()) == content


def test_a_terminal_gets_the_ranks_and_no_escape_sequences(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs({RANKS[0]: b"\x1b[31mred\x1b[0m\nend\x1b[", RANKS[1]: b"\xe2\x82"})
    assert shown(site, monkeypatch, logs, Wanted(), terminal=True) == "[0] red\n[0] end\n[1] \ufffd\n".encode()


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, b""), (1, b"three"), (2, b"two\nthree"), (3, b"one\ntwo\nthree"), (9, b"one\ntwo\nthree")],
)
def test_the_tail_is_the_last_lines(site: Site, monkeypatch: pytest.MonkeyPatch, count: int, expected: bytes) -> None:
    logs = Logs({"user_logs/std_log.txt": b"one\ntwo\nthree"})
    assert shown(site, monkeypatch, logs, Wanted(tail=count)) == expected


def test_without_following_a_running_run_is_left_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs({"user_logs/std_log.txt": b"so far"}, state="Running")
    assert shown(site, monkeypatch, logs, Wanted(follow=False)) == b"so far"
    assert site.clock.monotonic() == 0.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("user_logs/std_log.txt", ""),
        (BUILD, ""),
        ("user_logs/std_log_process_00.txt", "[0] "),
        ("user_logs/std_log_process_10.txt", "[10] "),
        ("user_logs/std_log_process_2_ps.txt", "[2 ps] "),
        (MPI, "[mpirun] "),
        ("user_logs/other.txt", ""),
    ],
)
def test_a_logs_name_tells_its_rank(name: str, expected: str) -> None:
    assert tag(name) == expected


def test_a_log_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert chosen(RANKS, ["1"]) == [RANKS[1]]
    assert chosen(RANKS, []) == list(RANKS)
    with pytest.raises(SpecError) as error:
        chosen(RANKS, ["0", "7"])
    assert str(error.value) == (
        f'the command: --log = "7"\n  no such log. There are {RANKS[0]}, {RANKS[1]}.   [rule log]'
    )


@given(st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r", b"\r\n", b"\xff"])))
def test_a_prefix_changes_nothing_else(pieces: list[bytes]) -> None:
    prefixer = Prefixer("> ")
    out = b"".join(prefixer.feed(piece) for piece in pieces) + prefixer.end()
    whole = b"".join(pieces)
    assert out == b"".join(b"> " + line + b"\n" for line in whole.removesuffix(b"\n").split(b"\n")) * bool(whole)


def test_a_line_without_an_end_is_not_held_back_for_ever() -> None:
    assert Prefixer("> ").feed(b"x" * (LONGEST + 1)) == b"> " + b"x" * (LONGEST + 1) + b"\n"


@given(st.lists(st.sampled_from([b"\n", b"a\n", b"b", b"cc\nd"])), st.integers(0, 6))
def test_the_offset_of_the_last_lines_is_theirs(pieces: list[bytes], count: int) -> None:
    whole = b"".join(pieces)
    lines = whole.splitlines(keepends=True)
    expected = b"".join(lines[max(0, len(lines) - count) :])
    assert whole[lines_before(iter(pieces), count) :] == expected
