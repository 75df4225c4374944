from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine import obtain, operations
from engine.errors import EngineError
from engine.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]

PROGRAM = """
import time
import pulumi

class Box(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("trainyard:index:Box", name, {})
        inputs = {"max": 4, "key": pulumi.Config().get_secret("box.key")}
        stash = pulumi.Stash(f"{name}-stash", input=inputs, opts=pulumi.ResourceOptions(parent=self))
        self.output = stash.output
        self.register_outputs({})

time.sleep(0)
pulumi.export("box", Box("box").output)
"""
CANARY = "canary-5f1d"
SETTINGS = ("PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "a project é #1"
    (root / "stacks").mkdir(parents=True)
    (root / "Pulumi.yaml").write_text("name: t\nruntime: python\nmain: stacks/\nstackConfigDir: stacks\n", "utf-8")
    (root / "stacks" / "__main__.py").write_text(PROGRAM, "utf-8")
    return Session(root, "local", obtain.find_or_get(print))


def edit(session: Session, old: str, new: str) -> None:
    program = session.root / "stacks" / "__main__.py"
    program.write_text(program.read_text("utf-8").replace(old, new), "utf-8")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_stack_comes_and_goes_and_its_secret_stays_ciphertext(session: Session) -> None:
    with pytest.raises(EngineError, match="stack local was never brought up\n  invoke up --stack local"):
        operations.outputs(session)
    operations.set_secret(session, "box.key", CANARY)
    assert operations.preview(session).counts == {"create": 1}
    assert operations.up(session).counts == {"create": 1}
    assert operations.up(session).empty
    assert operations.refresh(session).empty
    assert operations.outputs(session) == {"box": "[secret]"}
    edit(session, "4", "8")
    [change] = operations.preview(session).differences
    assert [(found.path, found.old, found.new, found.replaces) for found in change.properties] == [
        ("input.max", 4, 8, False)
    ]
    operations.up(session)
    files = [path for path in session.root.rglob("*") if path.is_file()]
    assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []
    assert [path.name for path in session.data.rglob("*") if path.stat().st_mode & 0o077] == []
    assert operations.destroy(session).counts == {"delete": 1}
    assert "resources" not in json.dumps(operations.export(session))
    assert names(session.data) == ["passphrase", "pulumi", "pulumi-home"]


def test_a_program_that_fails_is_one_message(session: Session) -> None:
    edit(session, "time.sleep(0)", 'raise ValueError("stacks/local.yaml:3:4: no such field")')
    with pytest.raises(EngineError) as caught:
        operations.preview(session)
    assert str(caught.value) == "ValueError: stacks/local.yaml:3:4: no such field"


def test_a_lock_names_its_holder_and_an_interrupt_frees_it(session: Session) -> None:
    edit(session, "time.sleep(0)", "time.sleep(20)")
    operations.create_stack(session)
    argv = operations.command(session, ["up", "--yes", "--skip-preview"])
    with subprocess.Popen(
        argv, cwd=session.root, env=session.environment(), stdout=subprocess.DEVNULL, start_new_session=True
    ) as holder:
        wait_for(lambda: any((session.data / "pulumi" / ".pulumi" / "locks").rglob("*.json")))
        with pytest.raises(EngineError) as caught:
            operations.up(session)
        with pytest.raises(EngineError, match="which may still run"):
            operations.unlock(session)
        holder.send_signal(signal.SIGINT)
    assert re.sub(r"\d{4}-\S+Z", "T", str(caught.value)) == (
        f"stack local is locked by {who()}, process {holder.pid}, since T\n"
        "  Wait for it to end. If that process is gone: invoke recover --stack local"
    )
    edit(session, "time.sleep(20)", "time.sleep(0)")
    assert operations.up(session).counts == {"create": 1}


def test_the_lock_of_a_killed_operation_is_taken_away(session: Session) -> None:
    edit(session, "time.sleep(0)", "time.sleep(3)")
    operations.create_stack(session)
    argv = operations.command(session, ["up", "--yes", "--skip-preview"])
    with subprocess.Popen(
        argv, cwd=session.root, env=session.environment(), stdout=subprocess.DEVNULL, start_new_session=True
    ) as holder:
        wait_for(lambda: any((session.data / "pulumi" / ".pulumi" / "locks").rglob("*.json")))
        wait_for(lambda: len(hosts(session)) == 1)
        os.killpg(holder.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="is locked by"):
        operations.up(session)
    assert [re.sub(r"\d{4}-.*", "T", line) for line in operations.unlock(session).locks] == [
        f"{who()}, process {holder.pid}, since T"
    ]
    assert operations.unlock(session) == operations.Freed((), {})
    wait_for(lambda: hosts(session) == [])
    assert operations.up(session).counts == {"create": 1}


def test_a_project_whose_private_folder_was_deleted_starts_anew(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    operations.set_secret(session, "box.key", CANARY)
    operations.up(session)
    passphrase = session.passphrase_file.read_bytes()
    session.passphrase_file.write_bytes(b"another")
    with pytest.raises(EngineError) as caught:
        operations.up(session)
    assert (caught.value.message, caught.value.exit_code) == (
        "the passphrase is not the one that stack local was made with",
        13,
    )
    session.passphrase_file.write_bytes(passphrase)
    assert operations.up(session).empty
    shutil.rmtree(session.data)
    with pytest.raises(EngineError) as caught:
        operations.destroy(session)
    assert (caught.value.message, caught.value.exit_code) == ("stack local was never brought up", 3)
    assert caplog.messages == []
    assert operations.up(session).counts == {"create": 1}
    assert caplog.messages == [
        "stacks/Pulumi.local.yaml was made with a passphrase that is gone; it is stacks/Pulumi.local.yaml.old-1 now. "
        "Set its secrets again: invoke secret box.key --stack local"
    ]
    operations.set_secret(session, "box.key", CANARY)
    assert operations.up(session).counts == {"update": 1}


def hosts(session: Session) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PULUMI_HOME={session.data}/pulumi-home".encode() in (folder / "environ").read_bytes():
                found.append((folder / "comm").read_text("utf-8").strip())
        except OSError:
            continue
    return [name for name in found if name.startswith("pulumi-")]


def who() -> str:
    script = "import getpass, socket; print(f'{getpass.getuser()} on {socket.gethostname()}')"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
