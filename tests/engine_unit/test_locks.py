from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from engine import locks

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lock_that_is_older_than_the_process_of_that_number_is_dead(tmp_path: Path) -> None:
    binary = tmp_path / "pulumi"
    binary.symlink_to(sys.executable)
    with subprocess.Popen([str(binary), "-c", "input()"], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while (found := locks.process(process.pid)) is None or found[0] != "pulumi":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        now = datetime.now(UTC)
        young = locks.Lock(tmp_path, "jo", "here", process.pid, now.isoformat())
        old = locks.Lock(tmp_path, "jo", "here", process.pid, (now - timedelta(hours=1)).isoformat())
        odd = locks.Lock(tmp_path, "jo", "here", process.pid, "long ago")
        assert (young.may_live(), old.may_live(), odd.may_live()) == (True, False, True)
        process.communicate(b"\n")
    assert young.may_live() is False


def test_orphans_are_ended_and_what_an_engine_holds_is_not(tmp_path: Path) -> None:
    host, engine = tmp_path / "pulumi-language-x", tmp_path / "pulumi"
    for path in (host, engine):
        path.symlink_to(sys.executable)
    mark = {**os.environ, "PULUMI_HOME": str(tmp_path)}
    child = f"import subprocess; subprocess.run([{str(host)!r}, '-c', 'input()'])"
    with (
        subprocess.Popen([str(host), "-c", "input()"], stdin=subprocess.PIPE, env=mark) as orphan,
        subprocess.Popen([str(host), "-c", "input()"], stdin=subprocess.PIPE) as strangers,
        subprocess.Popen([str(engine), "-c", child], stdin=subprocess.PIPE, env=mark) as owner,
    ):
        deadline = time.monotonic() + 30
        while [found[0] for pid in (orphan.pid, owner.pid) if (found := locks.process(pid))] != [
            "pulumi-language",
            "pulumi",
        ]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        ended = locks.reap(tmp_path)
        assert (ended, orphan.wait(), strangers.poll(), owner.poll()) == (
            {orphan.pid: "pulumi-language"},
            -15,
            None,
            None,
        )
        for process in (strangers, owner):
            process.communicate(b"\n")
