from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import ignore, likely_secrets, snapshot, snapshot_notes
from runtime.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path


def tree(root: Path, **files: str) -> Path:
    """Make files; `__` in a name stands for a slash, `DOT` for a dot at its beginning."""
    for name, content in files.items():
        path = root / name.replace("DOT", ".").replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def names(folder: Path) -> list[str]:
    return [file.path for file in snapshot.plan(folder).files]


def refusals(folder: Path, **options: tuple[str, ...]) -> list[tuple[str, int, str]]:
    with pytest.raises(SpecError) as raised:
        snapshot.plan(folder, shown="src", **options)
    assert "0123456789abcdef" not in str(raised.value), "a secret's own text was printed"
    return [(problem.file, problem.line, problem.rule) for problem in raised.value.problems]


def age(folder: Path) -> None:
    """Give every file the same old time of change."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(1_700_000_000_123_456_789,) * 2)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all files have been written long before they are read."""
    monkeypatch.setattr("runtime.snapshot.time_ns", lambda: 1 << 62)


def test_every_file_is_there_by_path_with_its_hash(tmp_path: Path) -> None:
    planned = snapshot.plan(tree(tmp_path, train_py="print(1)\n", lib__b_py="", lib__a_py="x"))
    assert [(file.path, file.size) for file in planned.files] == [("lib/a.py", 1), ("lib/b.py", 0), ("train.py", 9)]
    assert planned.files[1].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert planned.size == 10


def test_aml_ignore_stands_instead_of_git_ignore(tmp_path: Path) -> None:
    tree(tmp_path, a_py="", data__x="", logs__y="", DOTgitignore="data/\n")
    assert names(tmp_path) == [".gitignore", "a.py", "logs/y"]
    (tmp_path / ".amlignore").write_text("logs/\n")
    assert names(tmp_path) == [".amlignore", ".gitignore", "a.py", "data/x"]


def test_a_git_ignore_further_down_counts_unless_an_aml_ignore_is_in_charge(tmp_path: Path) -> None:
    tree(tmp_path, a_py="", sub__DOTgitignore="*.tmp\n!keep.tmp\n", sub__x="", sub__deep__y="")
    tree(tmp_path, DOTgitignore="*.log\n")
    for name in ("sub/a.tmp", "sub/keep.tmp", "sub/deep/b.tmp", "top.tmp", "sub/z.log"):
        (tmp_path / name).touch()
    assert names(tmp_path) == [
        ".gitignore", "a.py", "sub/.gitignore", "sub/deep/y", "sub/keep.tmp", "sub/x", "top.tmp",
    ]  # fmt: skip
    (tmp_path / ".amlignore").touch()
    assert "sub/a.tmp" in names(tmp_path)


def test_a_file_in_an_ignored_folder_can_be_kept(tmp_path: Path) -> None:
    tree(tmp_path, DOTamlignore="data/\n!data/keep.csv\n", a_py="")
    for name in ("data/keep.csv", "data/other.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == [".amlignore", "a.py", "data/keep.csv"]


def test_ignored_folders_are_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, DOTgitignore="data/\n/big\n!/keep/*.py\n", a_py="", data__deep__x="", big__deep__y="", keep__z_py="")
    seen: list[str] = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: seen.append(os.path.relpath(path, tmp_path)) or real(path))
    assert names(tmp_path) == [".gitignore", "a.py", "keep/z.py"]
    assert sorted(seen) == [".", "keep"]


def test_history_state_and_caches_are_never_sent(tmp_path: Path) -> None:
    tree(tmp_path, a_py="", DOTgit__config="", sub__DOTgit="", DOTtrainyard__passphrase="")
    tree(tmp_path / "lib" / "__pycache__", a_pyc="")
    assert names(tmp_path) == ["a.py"]


def test_a_line_that_is_no_pattern_is_refused_at_its_place(tmp_path: Path) -> None:
    tree(tmp_path, a_py="", DOTgitignore="data/\nx\\\n")
    assert refusals(tmp_path) == [(".gitignore", 2, "ignore-pattern")]


def test_the_id_covers_names_contents_and_executable_bits(tmp_path: Path) -> None:
    tree(tmp_path, a_py="1", b_py="2")
    ids = {snapshot.plan(tmp_path).id}
    (tmp_path / "a.py").chmod(0o755)
    ids.add(snapshot.plan(tmp_path).id)
    (tmp_path / "b.py").write_text("3")
    ids.add(snapshot.plan(tmp_path).id)
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    ids.add(snapshot.plan(tmp_path).id)
    assert len(ids) == 4


def test_the_id_does_not_depend_on_times_or_place(tmp_path: Path) -> None:
    one = snapshot.plan(tree(tmp_path / "one", a_py="1"))
    age(tree(tmp_path / "two", a_py="1"))
    assert snapshot.plan(tmp_path / "two").id == one.id


def test_links_that_leave_the_folder_are_refused_by_name(tmp_path: Path) -> None:
    root = tree(tmp_path / "src", a_py="", DOTgit__config="")
    (tmp_path / "outside").write_text("secret")
    (root / "out").symlink_to("../outside")
    (root / "etc").symlink_to("/etc")
    (root / "config").symlink_to(".git/config")
    assert refusals(root) == [
        ("src/config", 1, "snapshot-link"),
        ("src/etc", 1, "snapshot-link"),
        ("src/out", 1, "snapshot-link"),
    ]


def test_an_ignored_link_may_point_anywhere(tmp_path: Path) -> None:
    root = tree(tmp_path, a_py="", DOTamlignore="data\n")
    (root / "data").symlink_to("/etc")
    assert names(root) == [".amlignore", "a.py"]


def test_links_within_the_folder_are_followed_as_content(tmp_path: Path) -> None:
    root = tree(tmp_path, lib__a_py="1")
    (root / "b.py").symlink_to("lib/a.py")
    (root / "again").symlink_to("lib")
    planned = snapshot.plan(root)
    assert [(file.path, file.size) for file in planned.files] == [("again/a.py", 1), ("b.py", 1), ("lib/a.py", 1)]
    snapshot.copy(planned, tmp_path.parent / "copied")
    assert not any(path.is_symlink() for path in (tmp_path.parent / "copied").rglob("*"))


def test_loops_dead_links_and_special_files_are_skipped_and_named(tmp_path: Path) -> None:
    root = tree(tmp_path, sub__a_py="")
    (root / "sub" / "up").symlink_to("..")
    (root / "dead").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        planned = snapshot.plan(root)
    assert [file.path for file in planned.files] == ["sub/a.py"]
    assert planned.skipped == (
        ("dead", "a link to nothing"),
        ("pipe", "a FIFO"),
        ("socket", "a socket"),
        ("sub/up", "a link to a folder that holds it"),
    )
    assert planned.warnings == (
        "not sent: dead (a link to nothing), pipe (a FIFO), socket (a socket), "
        "sub/up (a link to a folder that holds it)",
    )
    for number in range(3):
        (root / f"other{number}").symlink_to("nowhere")
    (warning,) = snapshot.plan(root).warnings
    assert warning.endswith("other2 (a link to nothing), pipe (a FIFO), and 2 more")


def test_an_empty_snapshot_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path) == [("src", 1, "snapshot-empty")]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path / "nowhere") == [("src", 1, "snapshot-folder")]


def test_a_single_file_is_a_snapshot_of_its_own(tmp_path: Path) -> None:
    assert names(tree(tmp_path, a_py="", b_py="") / "a.py") == ["a.py"]


def test_names_that_cannot_travel_are_refused(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    for name in (b"a.py", b"b\xff.py", b"c\n.py"):
        with open(os.path.join(root, name), "wb"):  # noqa: PTH118, PTH123 - a name that is not text
            pass
    assert refusals(tmp_path) == [("src/b\\udcff.py", 1, "snapshot-name"), ("src/c\\n.py", 1, "snapshot-name")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs", "Cc")), min_size=1, max_size=60))
def test_any_name_arrives_as_it_is(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    # hypothesis also tries the words that it finds in our modules.
    if name in {".", ".gitignore", ".amlignore", "..", *ignore.ALWAYS} or likely_secrets.by_name(name):
        return
    root = tmp_path_factory.mktemp("names")
    (root / name).write_text("content")
    planned = snapshot.plan(root)
    snapshot.copy(planned, root / "copied")
    assert [(path.name, path.read_text()) for path in (root / "copied").iterdir()] == [(name, "content")]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        (".env", "A=1", 1),
        ("conf/.env.prod", "A=1", 1),
        ("id_ed25519", "x", 1),
        ("kubeconfig", "x", 1),
        (".git-credentials", "x", 1),
        (".databrickscfg", "x", 1),
        (".aws/credentials", "x", 1),
        ("key.pem", "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE", 2),
        ("settings.py", "\n\nTOKEN = 'dapi" + "0123456789abcdef" * 2 + "'\n", 3),
        ("a.ipynb", "x\nAccountName=a;AccountKey=" + "Ab1+" * 21 + "==;", 2),
        ("url.txt", "https://a.blob.core.windows.net/c?sv=2024&sig=" + "Ab1%2F" * 10, 1),
    ],
)
def test_a_likely_secret_is_refused_with_its_line_and_can_be_allowed_by_name(
    tmp_path: Path, name: str, content: str, line: int
) -> None:
    path = tree(tmp_path, a_py="") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    assert refusals(tmp_path) == [(f"src/{name}", line, "snapshot-secret")]
    allowed = snapshot.plan(tmp_path, allow_secrets=(name,))
    assert [warning.partition(" ")[0] for warning in allowed.warnings] == [f"{name}:{line}"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env.example", "A="),
        ("cert.pem", "-----BEGIN CERTIFICATE-----"),
        ("a.py", "f'AccountKey={key}'"),
        ("b.py", "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="),
        ("c.py", "url + '?sig=' + quote(signature)"),
        ("d.py", "dapi = connect()"),
    ],
)
def test_what_only_resembles_a_secret_may_go(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert names(tmp_path) == [name]


def test_a_secret_across_two_chunks_is_found() -> None:
    scanner = likely_secrets.Scanner()
    for chunk in (b"a\n" * 50_000 + b"TOKEN=dapi0123456789", b"abcdef0123456789abcdef\nend\n"):
        scanner.feed(chunk)
    assert scanner.finding == likely_secrets.Finding("a Databricks token", 50_001)


def test_many_likely_secrets_are_counted_and_five_are_listed(tmp_path: Path) -> None:
    for number in range(8):
        tree(tmp_path / f"{number}", DOTenv="TOKEN = 'dapi" + "0123456789abcdef" * 2 + "'\n")
    with pytest.raises(SpecError) as raised:
        snapshot.plan(tmp_path, shown="src")
    assert [problem.file for problem in raised.value.problems] == [f"src/{number}/.env" for number in range(5)]
    first, *_, last = (problem.message for problem in raised.value.problems)
    assert first == (
        "looks like environment variables with secrets; whoever reads the workspace's code could read it. "
        "To leave it here, add the line 0/.env to src/.amlignore."
    )
    assert last.endswith(" And 3 more files look like secrets.")


def test_the_line_that_a_refusal_names_leaves_the_secret_here(tmp_path: Path) -> None:
    tree(tmp_path, a_py="", conf__DOTenv="A=1")
    with pytest.raises(SpecError, match=r"add the line conf/\.env to src/\.amlignore"):
        snapshot.plan(tmp_path, shown="src")
    assert names(tree(tmp_path, DOTamlignore="conf/.env\n")) == [".amlignore", "a.py"]


def test_an_ignored_secret_stays_here_without_a_word(tmp_path: Path) -> None:
    assert names(tree(tmp_path, a_py="", DOTenv="A=1", DOTgitignore=".env\n")) == [".gitignore", "a.py"]


@pytest.mark.usefixtures("later")
def test_an_unchanged_tree_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = tree(tmp_path / "src", a_py="1", lib__b_py="2"), tmp_path / "cache"
    first = snapshot.plan(root, cache=cache)
    monkeypatch.setattr(os, "open", pytest.fail)
    second = snapshot.plan(root, cache=cache)
    assert (first.reused, second.reused) == (0, 2)
    assert (second.id, second.hash_202208, second.files) == (first.id, first.hash_202208, first.files)


@pytest.mark.usefixtures("later")
def test_a_change_is_found_although_size_and_time_are_as_before(tmp_path: Path) -> None:
    root, cache = tree(tmp_path / "src", a_py="1"), tmp_path / "cache"
    age(root)
    first = snapshot.plan(root, cache=cache)
    (root / "a.py").write_text("2")
    age(root)
    second = snapshot.plan(root, cache=cache)
    assert (second.reused, second.id == first.id) == (0, False)


def test_a_file_that_was_just_written_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = tree(tmp_path / "src", a_py="1"), tmp_path / "cache"
    changed = (root / "a.py").stat().st_ctime_ns
    monkeypatch.setattr("runtime.snapshot.time_ns", lambda: changed + 1_000_000)
    snapshot.plan(root, cache=cache)
    assert snapshot.plan(root, cache=cache).reused == 0
    monkeypatch.setattr("runtime.snapshot.time_ns", lambda: changed + 5_000_000_000)
    snapshot.plan(root, cache=cache)
    assert snapshot.plan(root, cache=cache).reused == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 0}', '{"format": [1, 1, "x"], "files": 3}'])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: str) -> None:
    root, cache = tree(tmp_path / "src", a_py="1"), tmp_path / "cache"
    first = snapshot.plan(root, cache=cache)
    (file,) = cache.iterdir()
    file.write_text(damage)
    assert snapshot.plan(root, cache=cache).id == first.id
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_keeps_changing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tree(tmp_path, log="1") / "log"

    def grows(_: likely_secrets.Scanner, chunk: bytes) -> None:
        with path.open("ab") as stream:
            stream.write(chunk * 2)

    monkeypatch.setattr(likely_secrets.Scanner, "feed", grows)
    assert refusals(tmp_path) == [("src/log", 1, "snapshot-changing")]


def test_a_change_between_plan_and_copy_is_found_and_nothing_is_left(tmp_path: Path) -> None:
    root = tree(tmp_path / "src", a_py="1", b_py="2")
    planned = snapshot.plan(root)
    (root / "b.py").write_text("3")
    with pytest.raises(SpecError, match="changed after it was planned"):
        snapshot.copy(planned, tmp_path / "copied")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["src"]


def test_a_copy_keeps_the_executable_bit_and_is_the_owners_only(tmp_path: Path) -> None:
    root = tree(tmp_path / "src", run="#!/bin/sh\n", lib__a_py="1")
    (root / "run").chmod(0o755)
    snapshot.copy(snapshot.plan(root), tmp_path / "copied")
    modes = {
        str(path.relative_to(tmp_path)): oct(path.stat().st_mode & 0o777) for path in (tmp_path / "copied").rglob("*")
    }
    assert modes == {"copied/run": "0o700", "copied/lib": "0o700", "copied/lib/a.py": "0o600"}


def test_a_copy_never_overwrites(tmp_path: Path) -> None:
    planned = snapshot.plan(tree(tmp_path / "src", a_py="1"))
    tree(tmp_path / "copied", mine="1")
    with pytest.raises(OSError, match="not empty"):
        snapshot.copy(planned, tmp_path / "copied")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copied", "src"]


def test_a_large_snapshot_names_its_ten_largest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.snapshot_notes.LARGE_BYTES", 100)
    for number in range(12):
        (tmp_path / f"f{number:02}").write_bytes(b"x" * (10 + number))
    (warning,) = snapshot.plan(tmp_path).warnings
    assert [word for word in warning.replace(",", "").split() if word.startswith("f")] == [
        f"f{number:02}" for number in range(11, 1, -1)
    ]


def test_a_snapshot_that_should_be_data_names_its_largest_files_each_in_its_own_unit() -> None:
    sizes = {"huge.bin": 400_000_000, "train.py": 2_048, "empty": 0}
    files = [snapshot.File(path, size, "", executable=False, source=path) for path, size in sizes.items()]
    assert snapshot_notes.too_large(files) == (
        "the snapshot has 400 MB; data belongs in inputs, not in code. "
        "Largest: huge.bin (400.0 MB), train.py (2.0 kB), empty (0 B)",
    )
