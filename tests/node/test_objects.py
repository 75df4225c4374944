"""Files by content: what arrives whole stays, what is damaged is known, what was cut off is as if it had never come."""

from __future__ import annotations

import hashlib
import io
import os
import time
from typing import TYPE_CHECKING

import pytest

from node import objects
from node.objects import LARGE, MANY, SMALL, WHOLE_NS, Entry, Store

if TYPE_CHECKING:
    from pathlib import Path


def key(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wanted(contents: list[bytes]) -> dict[str, int]:
    return {key(content): len(content) for content in contents}


def entries(contents: list[bytes], folder: str = "") -> list[Entry]:
    return [Entry(f"{folder}{at}.txt", key(content), len(content), at == 0) for at, content in enumerate(contents)]


def several(count: int) -> list[bytes]:
    return [b"file %d" % number for number in range(count)]


def present(store: Store, contents: list[bytes]) -> list[bool]:
    return [store.has(key(content), len(content)) for content in contents]


@pytest.mark.parametrize("count", [MANY - 1, MANY])
def test_files_arrive_and_fill_a_folder(tmp_path: Path, count: int) -> None:
    contents = several(count)
    Store(tmp_path).receive(wanted(contents), io.BytesIO(b"".join(contents)))
    store = Store(tmp_path)
    assert present(store, contents) == [True] * count
    assert len(list((tmp_path / "objects").glob("*.pack"))) == (count >= MANY)
    assert store.fill(entries(contents, "deep/"), tmp_path / "run") == []
    assert [(tmp_path / f"run/deep/{at}.txt").read_bytes() for at in range(count)] == contents
    modes = [oct((tmp_path / f"run/deep/{at}.txt").stat().st_mode & 0o777) for at in (0, 1)]
    assert modes == ["0o700", "0o600"]


def test_what_came_before_a_cut_stays_and_the_rest_is_missing(tmp_path: Path) -> None:
    contents = [*several(MANY), b"x" * (SMALL + 1), b"y" * (SMALL + 1)]
    whole = b"".join(contents)
    for cut in (0, 3, len(whole) // 2, len(whole) - SMALL - 2, len(whole) - 1):
        home = tmp_path / str(cut)
        with pytest.raises(EOFError):
            Store(home).receive(wanted(contents), io.BytesIO(whole[:cut]))
        ends = [len(b"".join(contents[: at + 1])) for at in range(len(contents))]
        assert present(Store(home), contents) == [end <= cut for end in ends]
        assert [path.name for path in home.rglob(".*")] == []
        left = [content for content, there in zip(contents, present(Store(home), contents), strict=True) if not there]
        Store(home).receive(wanted(left), io.BytesIO(b"".join(left)))
        assert present(Store(home), contents) == [True] * len(contents)


def test_another_content_than_announced_gets_no_name(tmp_path: Path) -> None:
    for contents in (several(2), several(MANY + 1)):
        stream = io.BytesIO(b"".join(contents).replace(b"file 1", b"FILE 1"))
        with pytest.raises(ValueError, match="a file changed while it was sent"):
            Store(tmp_path).receive(wanted(contents), stream)
        assert present(Store(tmp_path), contents)[:3] == [True, False, False][: len(contents)]


@pytest.mark.parametrize("count", [2, MANY])
def test_a_damaged_object_is_dropped_and_asked_for_again(tmp_path: Path, count: int) -> None:
    contents = several(count)
    Store(tmp_path).receive(wanted(contents), io.BytesIO(b"".join(contents)))
    kept = next(tmp_path.glob("objects/*.pack" if count >= MANY else f"objects/*/{key(contents[0])}"))
    kept.chmod(0o600)
    kept.write_bytes(b"F" + kept.read_bytes()[1:])
    os.utime(kept, ns=(WHOLE_NS, WHOLE_NS))  # as a power cut would leave it: only the content tells
    store = Store(tmp_path)
    assert present(store, contents) == [True] * count
    missing = store.fill(entries(contents), tmp_path / "run")
    assert missing[0] == key(contents[0])
    assert not Store(tmp_path).has(*next(iter(wanted(contents).items())))
    again = [content for content in contents if key(content) in missing]
    Store(tmp_path).receive(wanted(again), io.BytesIO(b"".join(again)))
    assert Store(tmp_path).fill(entries(contents), tmp_path / "another") == []


def test_a_write_to_a_shared_input_is_seen_by_its_time(tmp_path: Path) -> None:
    content = b"z" * LARGE
    Store(tmp_path).receive(wanted([content]), io.BytesIO(content))
    assert Store(tmp_path).fill(entries([b"", content])[1:], tmp_path / "run", shared=True) == []
    linked = tmp_path / "run/1.txt"
    assert (linked.stat().st_nlink, oct(linked.stat().st_mode & 0o777)) == (2, "0o400")
    linked.chmod(0o600)
    with linked.open("r+b") as file:
        file.write(b"Z")
    assert present(Store(tmp_path), [content]) == [False]


def test_a_pack_of_a_transfer_that_died_is_removed_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = tmp_path / "objects/1-abc.pack"
    dead.parent.mkdir()
    dead.write_bytes(b"half")
    Store(tmp_path).receive({}, io.BytesIO())
    assert dead.exists()
    now = time.time()
    monkeypatch.setattr(objects.time, "time", lambda: now + objects.OLD_S + 1)
    Store(tmp_path).receive({}, io.BytesIO())
    assert not dead.exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ""])
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="does not stay inside its folder"):
        objects.tree({"code": [[path, "0" * 64, 1, False]]}, "code")
