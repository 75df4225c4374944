from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import locks, operations, passphrase
from engine.errors import EngineError
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


ALIVE = """
import sys
from pathlib import Path
from engine.obtain import Engine
from engine.operations import operate
from engine.session import Session
operate(Session(Path(sys.argv[1]), "local", Engine(Path(sys.argv[2]), "3.255.0", "x", 0.0, cached=True)), ["up"], None)
"""


def test_the_folder_of_a_killed_command_goes_once_its_engine_is_dead_too(session: Session) -> None:
    session.root.mkdir()
    binary, pid = session.engine.bin / "pulumi", session.root / "engine.pid"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\necho $$ > '{pid}.new'; mv '{pid}.new' '{pid}'; exec sleep 300\n", "utf-8")
    binary.chmod(0o700)
    argv = [sys.executable, "-c", ALIVE, str(session.root), str(session.engine.bin)]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[2]) as command:
        deadline = time.monotonic() + 30
        while not pid.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        command.kill()
    locks.sweep(session.data)
    left = len(list(session.data.glob("engine-*")))
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert left == 1
    while list(session.data.glob("engine-*")):
        assert time.monotonic() < deadline
        locks.sweep(session.data)
        time.sleep(0.02)


def test_an_operation_and_unlock_sweep_what_the_dead_left_and_leave_the_living(session: Session) -> None:
    session.prepare()
    (session.data / "engine-dead").mkdir()
    (session.data / "engine-dead" / "events.json").touch()
    with locks.workplace(session.data) as (first, _):
        with locks.workplace(session.data) as (second, _):
            assert set(session.data.glob("engine-*")) == {first, second}
        (session.data / "engine-dead").mkdir()
        assert operations.unlock(session) == operations.Freed((), {})
        assert list(session.data.glob("engine-*")) == [first]
    assert list(session.data.glob("engine-*")) == []


STALE = """encryptionsalt: v1:nWwAhMCBOQY=:v1:fhwbpVtBR4M7Om1V:7+JH41RFRhaNo3hCw+PN/3k8TLsq2w==
config:
  t:box.key:
    secure: v1:syG65IQ7wOcq/21Y:ogIOd4yk2nWG0CJdK1CeLj0=
  t:plain: x
"""
"""As engine 3.255.0 wrote it, with a passphrase that nobody has any more."""

OPEN_SESAME = "v1:53C4SxIP0ZU=:v1:fO7ariL7hLI5hOzd:+jjOG5YmdTVjbTytF3HEP/QLOOPlIg=="
"""What engine 3.255.0 makes of the passphrase `open sesame`."""


def configured(session: Session, text: str = STALE) -> None:
    session.config_file.parent.mkdir(parents=True, exist_ok=True)
    session.config_file.write_text(text, "utf-8")


def stacked(session: Session, name: str) -> None:
    state = session.data / "pulumi" / ".pulumi" / "stacks" / "t" / f"{name}.json"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.touch()
    state.with_suffix(".json.bak").touch()


def test_the_configuration_of_an_earlier_life_is_moved_aside_and_said(session: Session) -> None:
    session.prepare()
    configured(session)
    assert passphrase.set_aside(session) == (
        "stacks/Pulumi.local.yaml was made with a passphrase that is gone; it is stacks/Pulumi.local.yaml.old-1 now. "
        "Set its secrets again: invoke secret box.key --stack local"
    )
    configured(session, STALE.partition("config:")[0])
    assert passphrase.set_aside(session) == (
        "stacks/Pulumi.local.yaml was made with a passphrase that is gone; it is stacks/Pulumi.local.yaml.old-2 now. "
        "It held no secrets."
    )
    assert passphrase.set_aside(session) is None
    kept = {path.name: path.read_text("utf-8") for path in session.config_file.parent.iterdir()}
    assert kept["Pulumi.local.yaml.old-1"] == STALE
    assert sorted(kept) == ["Pulumi.local.yaml.old-1", "Pulumi.local.yaml.old-2"]


@pytest.mark.parametrize("why", ["state", "no salt", "own passphrase", "own backend", "not ours to judge"])
def test_a_configuration_that_may_still_be_read_stays(
    session: Session, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    session.prepare()
    configured(session, "config: {}\n" if why == "no salt" else STALE)
    match why:
        case "state":
            stacked(session, "local")
        case "own passphrase":
            monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "x")
        case "own backend":
            monkeypatch.setenv("PULUMI_BACKEND_URL", "azblob://team")
        case "not ours to judge":
            configured(session, STALE.replace("v1:nWw", "v2:nWw"))
    assert passphrase.set_aside(session) is None
    assert session.config_file.exists()


def test_a_configuration_that_this_passphrase_opens_stays(session: Session) -> None:
    session.prepare()
    session.passphrase_file.write_text("open sesame\n", "ascii")
    configured(session, f"encryptionsalt: {OPEN_SESAME}\n")
    assert passphrase.set_aside(session) is None
    session.passphrase_file.write_text("open sesam", "ascii")
    assert passphrase.set_aside(session) is not None


def test_where_state_is_a_lost_passphrase_is_never_replaced(session: Session) -> None:
    session.prepare()
    for name in ("prod", "local"):
        stacked(session, name)
    session.prepare()
    session.passphrase_file.unlink()
    with pytest.raises(EngineError) as caught:
        session.prepare()
    assert str(caught.value) == (
        ".trainyard/passphrase is gone: without it the state of local, prod can't be read\n"
        "  Put the file back from a backup. To start over without it: invoke emulator.stop, then delete pulumi, "
        "emulator and outputs in .trainyard/. What the stacks made in Azure stays there, to be deleted by hand."
    )
    assert (caught.value.exit_code, session.passphrase_file.exists()) == (13, False)


def test_a_file_in_the_data_folders_place_is_said_in_a_sentence(session: Session) -> None:
    session.root.mkdir()
    session.data.touch()
    with pytest.raises(EngineError) as caught:
        session.prepare()
    assert str(caught.value) == f"{session.data} must be a folder, and a file is there\n  Move it away."
