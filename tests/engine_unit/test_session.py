from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine import operations
from engine.obtain import Engine
from engine.operations import EventLog, Progress
from engine.session import Session

SAMPLES = Path(__file__).parent / "samples"
OURS = ("PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    engine = Engine(tmp_path / "engine" / "bin", "3.255.0", "on PATH", 0.0, cached=True)
    return Session(tmp_path / "a project", "local", engine, {"ARM_TENANT_ID": "t", "PULUMI_DEBUG_PROVIDERS": "a:1"})


def ours(session: Session) -> dict[str, str]:
    return {name: value for name, value in session.environment().items() if name in OURS}


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def test_state_passphrase_and_home_are_private_to_the_project(session: Session) -> None:
    session.prepare()
    assert ours(session) == {
        "PULUMI_BACKEND_URL": f"file://{session.root.parent}/a%20project/.trainyard/pulumi",
        "PULUMI_HOME": str(session.data / "pulumi-home"),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(session.data / "passphrase"),
    }
    modes = {path.name: mode(path) for path in [session.data, *session.data.iterdir()]}
    assert modes == {".trainyard": "0o700", "pulumi": "0o700", "pulumi-home": "0o700", "passphrase": "0o600"}


def test_the_passphrase_is_made_once(session: Session) -> None:
    session.prepare()
    first = session.passphrase_file.read_text("ascii")
    session.prepare()
    assert (session.passphrase_file.read_text("ascii"), len(first)) == (first, 43)
    assert sorted(path.name for path in session.data.iterdir()) == ["passphrase", "pulumi", "pulumi-home"]


def test_a_backend_that_the_user_chose_is_left_alone(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "azblob://team")
    session.prepare()
    assert ours(session) == {"PULUMI_BACKEND_URL": "azblob://team"}
    assert list(session.data.iterdir()) == []


def test_a_backend_in_the_project_file_is_the_users_choice(session: Session) -> None:
    session.root.mkdir()
    (session.root / "Pulumi.yaml").write_text("name: x\nbackend:\n  url: azblob://team\n", "utf-8")
    assert ours(session) == {}


def test_a_passphrase_that_the_user_chose_is_left_alone(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    session.prepare()
    assert not session.passphrase_file.exists()
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in session.environment()


def test_the_interpreters_folder_comes_first_on_path_and_the_engine_second(session: Session) -> None:
    path = session.environment()["PATH"].split(os.pathsep)
    assert path[:2] == [str(Path(sys.executable).parent), str(session.engine.bin)]


def test_the_clouds_environment_wins_over_the_users_and_extra_over_all(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_TENANT_ID", "the user's")
    found = session.environment({"PULUMI_DEBUG_PROVIDERS": "a:2"})
    assert (found["ARM_TENANT_ID"], found["PULUMI_DEBUG_PROVIDERS"]) == ("t", "a:2")


def test_a_key_that_begins_with_a_dash_stays_a_key(session: Session) -> None:
    assert operations.command(session, ["config", "set", "--secret", "--", "-k"])[1:] == [
        "config", "set", "--non-interactive", "--color=never", "--stack=local", "--secret", "--", "-k",
    ]  # fmt: skip


def test_the_event_log_is_read_as_it_grows_and_only_in_whole_lines(tmp_path: Path) -> None:
    heard: list[Progress] = []
    log = EventLog(tmp_path / "events.json", heard.append)
    log.read()
    whole = (SAMPLES / "create.jsonl").read_bytes()
    for end in (100, 2500, len(whole)):
        log.path.write_bytes(whole[:end])
        log.read()
    assert len(log.events) == len(whole.splitlines())
    assert heard == [
        Progress("box", "trainyard:index:Box", "create", "started", component=True),
        Progress("box", "trainyard:index:Box", "create", "done", component=True),
        Progress("box-stash", "pulumi:index:Stash", "create", "started", component=False),
        Progress("box-stash", "pulumi:index:Stash", "create", "done", component=False),
    ]
