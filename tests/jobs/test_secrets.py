"""The secret of a job: it gets it, and nothing else on the machine does, whatever the job or a crash makes of it."""

from __future__ import annotations

import hashlib
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

from node import layout, processes, reading
from node import status as statuses
from runtime import hosts, submitters
from runtime.retrying import retry
from runtime.runs import Run, as_known
from runtime.site import Options, open_site
from runtime.submit import submit
from tests.jobs import canary
from tests.runtime import kit

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.wire import Json
    from tests.jobs.line import Line

TARGETS = ("local", "gpu-box")
PATIENCE_S = 60.0
BLAB = """
import base64, hashlib, json, os, pathlib, sys, time, urllib.parse, urllib.request

secret = os.environ["CANARY_TOKEN"]
rank = os.environ.get("RANK", "0")

def log(path, **fields):
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + path,
        json.dumps({"run_id": os.environ["MLFLOW_RUN_ID"], **fields}).encode(),
        {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"})
    urllib.request.urlopen(request).read()

print("plain", secret)
print("json", json.dumps({"token": secret}))
print("base64", base64.b64encode(secret.encode()).decode())
print("basic", base64.b64encode(f"user:{secret}:".encode()).decode())
print("hex", secret.encode().hex())
print("url", "https://x/?token=" + urllib.parse.quote(secret, safe=""))
print("repr", repr(secret), flush=True)
os.write(1, b"pieces ")
for byte in secret.encode():
    os.write(1, bytes([byte]))
    time.sleep(0.002)
os.write(1, b".\\n")
os.system('printf "shell %s\\\\n" "$CANARY_TOKEN"')
log("runs/log-parameter", key=f"token{rank}", value=secret)
log("runs/set-tag", key=f"url{rank}", value="https://x/?token=" + urllib.parse.quote(secret, safe=""))
log("runs/log-batch", params=[{"key": f"more{rank}", "value": json.dumps([secret])}],
    metrics=[{"key": "m", "value": 1.5, "timestamp": 1763719200000, "step": 0}], tags=[{"key": "t", "value": secret}])
pathlib.Path(f"outputs/digest{rank}.txt").write_text(hashlib.sha256(secret.encode()).hexdigest())
pathlib.Path(f"outputs/ready{rank}").touch()
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
raise ValueError("no access with " + secret)
"""
SAID = [
    "plain ***", 'json {"token": "***"}', "base64 ***", "hex ***", "url https://x/?token=***", "repr '***'",
    "pieces ***.", "shell ***",
]  # fmt: skip
LAST = "ValueError: no access with ***"
DISTRIBUTIONS: dict[str, Json] = {
    "one process": None,
    "pytorch": {"type": "pytorch", "process_count_per_instance": 2},
    "mpi": {"type": "mpi", "process_count_per_instance": 2},
}
SUBMITTER = """
import os, sys
from pathlib import Path
from runtime import hosts
from runtime.job_secrets import from_shell
from runtime.project import Project
from runtime.site import Options, open_site
from runtime.submit import submit

project, file, target = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
site = open_site(Project(project))
options = Options(secrets=from_shell(["CANARY_TOKEN"], os.environ))
submit(file, target, stack="local", project=Project(project), site=site, options=options)
hosts.close(site)
"""
POINTS = ("intent", "snapshot", "environment", "uploaded", "put-sent", "acknowledged")


def roots(line: Line) -> list[Path]:
    """Return every folder that a run can leave something in: project, cache, emulator, the machine's and the user's."""
    return [line.project.root.parent, Path(os.environ["TRAINYARD_CACHE"]), line.project.emulator_home]


def a_job(folder: Path, distribution: Json = None, script: str = BLAB) -> tuple[Path, Path]:
    """Write a job that gives its secret away in all ways, then waits for a file, then fails with it."""
    gate = folder / "gate"
    made = kit.a_job(
        folder,
        command=f"python train.py '{gate}'",
        inputs=None,
        distribution=distribution,
        resources={"instance_count": 1} if distribution else None,
    )
    (folder / "src/train.py").write_text(script)
    return made, gate


def begin(line: Line, file: Path, target: str, secret: str) -> Run:
    options = Options(secrets={canary.NAME: secret})
    return submit(file, target, stack=line.known, project=line.project, site=line.site, options=options)


def folder_of(line: Line, run: Run) -> Path:
    record = line.site.store.get(run.id)
    assert record is not None
    return Path(record.machine.folder) if record.machine else line.site.store.attempt_folder(record)


def by_rank(logs: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in logs.items() if "mpirun" not in name}


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
@pytest.mark.parametrize("target", TARGETS)
def test_only_the_job_gets_its_secret(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, kind: str
) -> None:
    line.needs(target)
    if kind == "mpi" and shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed (Debian: openmpi-bin)")
    secret, since = canary.value(), time.time() - 1
    # The shell has it, under its name and inside another variable; what is started from here shall not.
    monkeypatch.setenv(canary.NAME, secret)
    monkeypatch.setenv("INDEX", f"https://user:{secret}@pypi.example/simple")
    file, gate = a_job(tmp_path / "job", DISTRIBUTIONS[kind])
    ranks = ["0"] if kind == "one process" else ["0", "1"]
    run = begin(line, file, target, secret)
    folder = folder_of(line, run)
    until(lambda: all((layout.outputs_dir(folder) / f"ready{rank}").exists() for rank in ranks))
    shown, own = canary.seen_in_proc(secret, run.id)
    assert shown == []
    assert own >= len(ranks)
    until(lambda: [text.count("\n") for text in by_rank(line.logs(run)).values()] == [len(SAID) + 1] * len(ranks))
    live = by_rank(line.logs(run))
    gate.touch()
    streamed = list[bytes]()
    ended = run.stream(streamed.append)
    assert (ended.state, ended.record.secrets) == ("Failed", (canary.NAME,))
    logs = by_rank(line.logs(ended))
    assert len(logs) == len(ranks)
    for name, text in logs.items():
        lines = text.splitlines()
        basic = lines.pop(3)
        # `user:` and the last `:` share characters with the value's first and last bytes, which tell next to nothing.
        assert re.fullmatch(r"basic [A-Za-z0-9+/]{7}\*\*\*[A-Za-z0-9+/=]{2,4}", basic), basic
        assert lines[: len(SAID)] == SAID
        assert live[name].splitlines() == [*SAID[:3], basic, *SAID[3:]]
    # Of several, the first that fails ends the others.
    assert LAST in [text.splitlines()[-1] for text in logs.values()]
    assert b"plain ***" in b"".join(streamed)
    assert not canary.holds(b"".join(streamed), secret)
    digest = hashlib.sha256(secret.encode()).hexdigest().encode()
    files = line.files(ended)
    assert {files[f"outputs/digest{rank}.txt"] for rank in ranks} == {digest}
    assert {key: text for key, text in reading.params(folder).items() if key[-1] == "0"} == {
        "token0": "***", "more0": '["***"]'
    }  # fmt: skip
    assert [reading.tags(folder)[key] for key in ("url0", "t")] == ["https://x/?token=***", "***"]
    assert reading.last_metrics(folder) == {"m": 1.5}
    assert not list(folder.rglob("*.fifo"))
    assert json.loads((folder / layout.JOB).read_text())["secrets"] == [canary.NAME]
    if target == "gpu-box":
        kept = [path.read_bytes() for path in line.project.emulator_home.rglob("*.db*") if path.is_file()]
        assert any(run.id.encode() in content and b"***" in content for content in kept)
    assert canary.files_with(secret, roots(line), since) == []


@pytest.mark.parametrize("target", TARGETS)
def test_a_submitter_that_is_killed_at_any_step_leaves_no_secret(line: Line, tmp_path: Path, target: str) -> None:
    line.needs(target)
    secret, since = canary.value(), time.time() - 1
    gate = ""
    killed, victims = [], list[subprocess.Popen[bytes]]()
    for point in POINTS:
        folder = tmp_path / point
        file, gate = a_job(folder)
        gate.touch()
        environ = {**os.environ, canary.NAME: secret, "TRAINYARD_CRASH_AT": point}
        words = [sys.executable, "-c", SUBMITTER, str(line.project.root), str(file), target]
        victims.append(subprocess.Popen(words, env=environ, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE))
    for victim in victims:
        said = victim.communicate()[1]
        killed.append((victim.returncode, said))
    assert killed == [(-signal.SIGKILL, b"")] * len(POINTS)
    site = open_site(line.project)
    try:
        mine = [
            record for record in site.store.all() if record.job and str(tmp_path) in str(Path(record.job).resolve())
        ]
        assert len(mine) == len(POINTS)
        ended = [as_known(Run(record, site)).wait(PATIENCE_S) for record in mine]
        for run in ended:
            driver = submitters.of(run.record.kind)
            reason = run.record.reason or ""
            # Executed, and so failed as it must; or it never began.
            assert run.state == "Failed"
            assert reason == "the command exited with code 1" or "nothing ran" in reason, reason
            assert not canary.holds(repr(driver.look(site, run.record)).encode(), secret)
    finally:
        hosts.close(site)
    assert canary.files_with(secret, roots(line), since) == []


def test_a_killed_supervisor_leaves_no_secret_and_the_run_is_not_begun_again(line: Line, tmp_path: Path) -> None:
    secret, since = canary.value(), time.time() - 1
    distribution = DISTRIBUTIONS["mpi"] if shutil.which("mpirun") else DISTRIBUTIONS["pytorch"]
    file, _ = a_job(tmp_path / "job", distribution)
    run = begin(line, file, "local", secret)
    folder = folder_of(line, run)
    until(lambda: all((layout.outputs_dir(folder) / f"ready{rank}").exists() for rank in "01"))
    status = statuses.read(folder)
    assert status is not None
    assert status.supervisor is not None
    assert status.mark is not None
    os.kill(status.supervisor.pid, signal.SIGKILL)
    ended = line.ended(run)
    assert (ended.state, ended.record.reason) == (
        "Failed", "the supervisor died while the run was Running (it was killed)"
    )  # fmt: skip
    assert processes.marked(status.mark) == []
    assert canary.files_with(secret, roots(line), since) == []


def test_a_run_is_repeated_with_the_secrets_of_the_shell(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import hashlib, os, pathlib\npathlib.Path('outputs/d').write_text(os.environ['CANARY_TOKEN'][::-1])\n"
    file, _ = a_job(tmp_path / "job", script=script)
    first = line.ended(begin(line, file, "local", canary.value()))
    assert first.state == "Completed"
    monkeypatch.delenv(canary.NAME, raising=False)
    with pytest.raises(Exception, match=f"--secret: {canary.NAME}\n  is not set in this shell"):
        retry(first)
    fresh = canary.value()
    monkeypatch.setenv(canary.NAME, fresh)
    again = line.ended(retry(first))
    assert (again.state, again.record.secrets, again.record.retried_from) == ("Completed", (canary.NAME,), first.id)
    assert line.files(again)["outputs/d"].decode() == fresh[::-1]
    (tmp_path / "job/src/train.py").write_text("changed = 1\n")  # from the run's own folder then
    last = line.ended(retry(first))
    assert (last.state, line.files(last)["outputs/d"].decode()) == ("Completed", fresh[::-1])
