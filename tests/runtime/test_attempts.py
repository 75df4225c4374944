"""What follows a preemption, with a workspace that answers as each test says."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from node import command
from runtime import attempts, driver, history, wire
from runtime.errors import RefusedError
from runtime.events import Event
from runtime.records import Attempt, Record
from runtime.runs import Run, find_run, observe
from runtime.site import Look
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.site import Site
    from runtime.transport import Request
    from runtime.wire import Object

ENDED = "2026-11-21T10:00:00.000Z"
GONE = "The low-priority node n1 was preempted while it ran the job."


def a_record(**changes: object) -> Record:
    values: dict[str, object] = {
        "id": "digits-quiet-heron",
        "kind": "AmlCompute",
        "target": "spot-cluster",
        "experiment": "digits",
        "token": "t",
        "created": ENDED,
        "cloud": "emulator",
        "workspace_id": kit.WORKSPACE,
        "phase": "acknowledged",
        "state": "Running",
        "sent": ENDED,
        "retry": "preemption",
    }
    return Record.model_validate({**values, **changes})


def between(number: int = 2, **changes: object) -> Record:
    before = [
        Attempt(number=at, job=a_record(attempt=at).job_name, reason=GONE, ended=ENDED) for at in range(1, number)
    ]
    values: dict[str, object] = {"attempt": number, "attempts": tuple(before), "phase": "intent", "state": "Queued"}
    return a_record(**{**values, **changes})


class Workspace:
    """Jobs by name; `errors` says why one failed. A PUT is answered by `refusals` first."""

    def __init__(self, transport: kit.FakeTransport) -> None:
        self.jobs: dict[str, Object] = {}
        self.errors: dict[str, Object] = {}
        self.refusals: list[kit.Reply] = []
        self.puts: list[str] = []
        self.cancels: list[str] = []
        transport.on = self.answer

    def job(self, name: str, status: str = "Queued", **properties: object) -> None:
        given = {"command": "python train.py", "properties": {"trainyard.token": "t"}, **properties}
        self.jobs[name] = wire.obj({"name": name, "properties": {**given, "status": status}})  # type: ignore[dict-item]  # JSON

    def preempt(self, name: str) -> None:
        wire.obj(self.jobs[name]["properties"])["status"] = "Failed"
        self.errors[name] = {"code": "NodePreempted", "message": GONE}

    def answer(self, request: Request) -> kit.Reply | None:
        path = unquote(urlsplit(request.url).path)
        name = path.rpartition("/")[2]
        if path == kit.WORKSPACE:
            return 200, {"properties": {"discoveryUrl": "https://localhost:1/discovery"}}
        if path == "/discovery":
            return 200, {"api": "https://localhost:1"}
        if path.endswith("/cancel"):
            self.cancels.append(path.split("/")[-2])
            return 202, None
        if path.endswith("/details"):
            return self.details(path.split("/")[-2])
        if "/jobs/" not in path:
            return 200, {}
        if request.method == "PUT":
            return self.put(name, request)
        return (200, self.jobs[name]) if name in self.jobs else (404, {"error": {"code": "UserError"}})

    def details(self, name: str) -> kit.Reply:
        if name not in self.jobs:
            return 404, None
        status = wire.at(self.jobs[name], "properties", "status")
        error: Object = {"error": self.errors[name]} if name in self.errors else {}
        return 200, {"status": status, "error": error, "startTimeUtc": ENDED, "endTimeUtc": None}

    def put(self, name: str, request: Request) -> kit.Reply:
        self.puts.append(name)
        if self.refusals:
            return self.refusals.pop(0)
        self.jobs[name] = {"name": name, **wire.obj(wire.parse(request.body or b"{}"))}
        wire.obj(self.jobs[name]["properties"])["status"] = "Queued"
        return 201, self.jobs[name]


@pytest.fixture
def workspace(transport: kit.FakeTransport, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(history, "logs_in_store", lambda _site, _record: {})
    found = Workspace(transport)
    found.job("digits-quiet-heron")
    return found


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Say what each job left in the artifact store."""
    files: dict[str, set[str]] = {}
    monkeypatch.setattr(attempts, "left_by", lambda _site, _record, name: files.get(name, set()))
    return files


@pytest.fixture(autouse=True)
def driven(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Start no driver; remember for what."""
    asked: list[str] = []

    def ensure(_site: Site, record: Record) -> None:
        if driver.wanted(record):
            asked.append(record.job_name)

    monkeypatch.setattr(driver, "ensure", ensure)
    return asked


@pytest.mark.parametrize(
    ("error", "preempted"),
    [
        ({"code": "NodePreempted", "message": GONE}, True),
        (
            {
                "code": "UserError",
                "message": "AzureMLCompute job failed. PreemptionError: Nodes of this job got pre-empted. Check if the "
                "run has failed or restarted. Reason: Received pre-emption warning signal",
            },
            True,
        ),
        ({"code": "UserError", "message": "AzureMLCompute job failed. ExecutionFailed: PreemptionError: mine"}, False),
        ({"code": "NodeLost", "message": "The node n1 died while it ran the job."}, False),
        ({}, False),
    ],
)
def test_only_the_words_of_a_preemption_are_one(error: Object, *, preempted: bool) -> None:
    look = history.to_look({"status": "Failed", "error": {"error": error}}, ENDED)
    assert look.preempted is preempted
    assert not history.to_look({"status": "Completed", "error": {"error": error}}, ENDED).preempted


def test_a_preemption_is_the_intent_of_the_next_attempt() -> None:
    found = Look("Failed", reason=GONE, started="a", ended="b", preempted=True)
    after = a_record().model_copy(update=attempts.after(a_record(cancel_sent=True), found))
    assert (after.state, after.attempt, after.phase, after.job_name, after.cancel_sent, after.sent) == (
        "Queued", 2, "intent", "digits-quiet-heron-attempt-2", False, None,
    )  # fmt: skip
    first = Attempt(number=1, job="digits-quiet-heron", reason=GONE, started="a", ended="b")
    assert (after.attempts, after.reason) == ((first,), "attempt 1 was preempted")


def test_attempts_have_an_end() -> None:
    after = attempts.after(a_record(attempt=100), Look("Failed", reason=GONE, preempted=True))
    assert (after["state"], after["reason"]) == (
        "Failed",
        f"attempt 100 was preempted: {GONE}; that many are the most. "
        "To go on from its outputs: invoke runs.retry digits-quiet-heron --restore",
    )


@pytest.mark.parametrize(
    ("number", "now", "due"),
    [
        (2, ENDED, 0.0),
        (4, ENDED, 1.0),
        (7, ENDED, 8.0),
        (7, "2026-11-21T10:00:05.000Z", 3.0),
        (7, "2026-11-21T11:00:00.000Z", 0.0),
        (7, "2020-01-01T00:00:00.000Z", 8.0),
        (99, ENDED, 300.0),
    ],
)
def test_attempts_that_end_soon_come_less_and_less_often(number: int, now: str, due: float) -> None:
    assert attempts.due_s(between(number), now) == due


FIRST: Object = {
    "name": "digits-quiet-heron",
    "properties": {
        "jobType": "Command",
        "command": 'python train.py --text "it\'s; $(x)"',
        "codeId": "CODE",
        "environmentId": "ENVIRONMENT",
        "computeId": "COMPUTE",
        "experimentName": "digits",
        "tags": {"team": "a"},
        "properties": {"mine": "1", "azureml.git.dirty": "True", "_azureml.x": "y", "trainyard.token": "t"},
        "inputs": {"x": {"jobInputType": "literal", "value": "1"}},
        "outputs": {
            "default": {"jobOutputType": "uri_folder", "uri": "azureml://datastores/workspaceartifactstore/x"},
            "model": {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": "azureml://datastores/a/paths/b"},
            "plain": {"jobOutputType": "uri_folder", "mode": "ReadWriteMount"},
        },
        "resources": {"instanceCount": 2},
        "distribution": {"distributionType": "Mpi", "processCountPerInstance": 2},
        "services": {"Tracking": {"endpoint": "e"}},
        "status": "Failed",
        "isArchived": False,
    },
}


def test_an_attempt_is_the_first_job_with_its_outputs_brought_back() -> None:
    body = attempts.job_of(FIRST, between(3), "digits-quiet-heron-attempt-2")
    given = wire.obj(FIRST["properties"])
    restored = (
        "azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.digits-quiet-heron-attempt-2/outputs"
    )
    assert body["properties"] == {
        **{
            name: given[name]
            for name in (
                "jobType", "codeId", "environmentId", "computeId", "experimentName", "tags", "resources",
                "distribution",
            )
        },
        "command": attempts.PREFIX + wire.text(given["command"]),
        "inputs": {
            "x": {"jobInputType": "literal", "value": "1"},
            "trainyard_restore": {"jobInputType": "uri_folder", "uri": restored, "mode": "Download"},
        },
        "outputs": {
            "model": wire.obj(given["outputs"])["model"],
            "plain": {
                "jobOutputType": "uri_folder",
                "mode": "ReadWriteMount",
                "uri": "azureml://datastores/workspaceblobstore/paths/azureml/digits-quiet-heron/plain/",
            },
        },
        "properties": {
            "mine": "1",
            "azureml.git.dirty": "True",
            "trainyard.token": "t",
            "trainyard.run": "digits-quiet-heron",
            "trainyard.attempt": "3",
            "trainyard.retry": "preemption",
            "trainyard.restored": "digits-quiet-heron-attempt-2",
        },
        "isArchived": False,
    }  # fmt: skip


def test_an_attempt_with_nothing_to_bring_back_has_the_very_command() -> None:
    body = wire.obj(attempts.job_of(FIRST, between(), None)["properties"])
    assert body["command"] == wire.obj(FIRST["properties"])["command"]
    assert set(wire.obj(body["inputs"])) == {"x"}


def test_outputs_come_from_the_last_attempt_that_had_all_of_its_own(
    site: Site, workspace: Workspace, left: dict[str, set[str]]
) -> None:
    one, two, three = (a_record(attempt=number).job_name for number in (1, 2, 3))
    assert attempts.source(site, between()) is None
    left[one] = {"outputs/checkpoint.json", "user_logs/std_log.txt"}
    assert attempts.source(site, between()) == one
    workspace.job(two, properties={"trainyard.token": "t", "trainyard.restored": one})
    left[two] = {"outputs/half"}
    assert attempts.source(site, between(3)) == one
    left[two] = {"outputs/half", "outputs/checkpoint.json", attempts.MARKER}
    assert attempts.source(site, between(3)) == two
    workspace.job(three, properties={"trainyard.token": "t", "trainyard.restored": two})
    assert attempts.source(site, between(4)) == two


def test_a_preempted_run_gets_its_next_attempt_once(
    site: Site, workspace: Workspace, left: dict[str, set[str]], driven: list[str]
) -> None:
    site.store.insert(a_record())
    workspace.preempt("digits-quiet-heron")
    run, found = observe(Run(a_record(), site))
    assert (run.state, run.record.attempt, found.state, found.reason) == (
        "Queued",
        2,
        "Queued",
        "attempt 1 was preempted",
    )
    late, _ = observe(Run(a_record(), site))
    assert late.record == run.record
    assert driven == ["digits-quiet-heron-attempt-2"] * 2
    attempts.step(site, run.record)
    attempts.step(site, run.record)
    assert workspace.puts == ["digits-quiet-heron-attempt-2"]
    again, _ = observe(Run(site.store.get(run.id) or run.record, site))
    assert (again.state, again.record.phase, again.record.attempt) == ("Queued", "acknowledged", 2)


def test_a_failure_of_the_job_is_never_repeated(site: Site, workspace: Workspace) -> None:
    site.store.insert(a_record())
    workspace.job("digits-quiet-heron", "Failed")
    workspace.errors["digits-quiet-heron"] = {"code": "UserError", "message": "exit status 1"}
    run, _ = observe(Run(a_record(), site))
    assert (run.state, run.record.attempt, run.record.reason) == ("Failed", 1, "exit status 1")


def test_a_preemption_without_the_wish_to_repeat_is_an_end(site: Site, workspace: Workspace) -> None:
    site.store.insert(a_record(retry="none"))
    workspace.preempt("digits-quiet-heron")
    run, _ = observe(Run(a_record(retry="none"), site))
    assert (run.state, run.record.attempt, run.record.reason) == ("Failed", 1, GONE)


def test_a_cancel_between_attempts_ends_the_run(site: Site, workspace: Workspace, left: dict[str, set[str]]) -> None:
    site.store.insert(between())
    ended = Run(between(), site).cancel()
    assert (ended.state, ended.record.reason) == ("Canceled", "canceled after attempt 1 was preempted")
    attempts.step(site, between())
    assert workspace.puts == ["digits-quiet-heron"]
    assert wire.at(workspace.jobs["digits-quiet-heron"], "properties", "tags") == {
        "trainyard.canceled": "before attempt 2"
    }


def test_a_cancel_between_attempts_is_heard_by_every_machine(
    site: Site, workspace: Workspace, left: dict[str, set[str]]
) -> None:
    site.store.insert(between())
    workspace.job("digits-quiet-heron", "Failed", tags={"trainyard.canceled": "before attempt 2"})
    attempts.step(site, between())
    ended, _ = observe(Run(site.store.all()[0], site))
    assert (ended.state, workspace.puts) == ("Canceled", [])


def test_a_cancel_that_comes_while_the_job_is_put_is_heard_afterwards(
    site: Site, workspace: Workspace, left: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.store.insert(between())
    mark = {"trainyard.canceled": "before attempt 2"}
    monkeypatch.setattr("runtime.crash.point", lambda _name: workspace.job("digits-quiet-heron", "Failed", tags=mark))
    attempts.step(site, between())
    seen, _ = observe(Run(site.store.all()[0], site))
    assert (seen.record.cancel_sent, workspace.cancels) == (True, ["digits-quiet-heron-attempt-2"])


def test_a_cancel_that_finds_the_next_attempt_there_cancels_that(
    site: Site, workspace: Workspace, left: dict[str, set[str]]
) -> None:
    site.store.insert(between())
    workspace.job("digits-quiet-heron-attempt-2", "Running")
    seen = Run(between(), site).cancel()
    assert (seen.state, seen.record.cancel_sent, workspace.cancels) == (
        "Running", True, ["digits-quiet-heron-attempt-2"],
    )  # fmt: skip


def test_a_cancel_that_a_preemption_overtakes_ends_the_run(site: Site, workspace: Workspace) -> None:
    site.store.insert(a_record())
    workspace.preempt("digits-quiet-heron")
    ended = Run(a_record(), site).cancel()
    assert (ended.state, ended.record.reason) == ("Canceled", "canceled after attempt 1 was preempted")


def test_a_cancel_while_the_next_job_is_on_its_way_reaches_that_job(
    site: Site, workspace: Workspace, left: dict[str, set[str]]
) -> None:
    site.store.insert(between(phase="sending", sent="2026-11-21T09:59:59.000Z"))
    waiting = Run(site.store.all()[0], site).cancel()
    assert (waiting.state, waiting.record.cancel_requested, workspace.cancels) == (
        "Queued", True, ["digits-quiet-heron-attempt-2"],
    )  # fmt: skip
    workspace.job("digits-quiet-heron-attempt-2", "Running")
    seen, _ = observe(waiting)
    assert (seen.state, seen.record.cancel_sent, len(workspace.cancels)) == ("Running", True, 2)


def test_another_job_of_that_name_is_never_taken_for_ours(
    site: Site, workspace: Workspace, left: dict[str, set[str]]
) -> None:
    site.store.insert(between())
    workspace.job("digits-quiet-heron-attempt-2", properties={"trainyard.token": "other"})
    attempts.step(site, between())
    (record,) = site.store.all()
    assert (record.state, record.reason) == (
        "Failed",
        "the next attempt could not be made: the workspace has another job named digits-quiet-heron-attempt-2",
    )


@pytest.mark.parametrize(("status", "state"), [(400, "Failed"), (403, "Queued")])
def test_a_refused_attempt_ends_the_run_unless_it_is_about_who_asks(
    site: Site, workspace: Workspace, left: dict[str, set[str]], status: int, state: str
) -> None:
    site.store.insert(between())
    workspace.refusals = [(status, {"error": {"code": "No", "message": "not today"}})]
    if status == 403:
        with pytest.raises(RefusedError, match="not today"):
            attempts.step(site, between())
    else:
        attempts.step(site, between())
    (record,) = site.store.all()
    assert record.state == state
    if state == "Failed":
        assert record.reason == "attempt 1 was preempted, and the next one was refused: not today. [No]"


def test_another_clone_finds_the_last_attempt_by_either_name(site: Site, workspace: Workspace) -> None:
    one, two = "digits-quiet-heron", "digits-quiet-heron-attempt-2"
    workspace.job(one, properties={"trainyard.token": "t", "trainyard.retry": "preemption"})
    workspace.preempt(one)
    workspace.job(two, "Running", properties={"trainyard.token": "t", "trainyard.run": one})
    found = find_run(site.project, two, kit.WORKSPACE, site=site)
    assert (found.id, found.record.job_name, found.record.retry) == (one, two, "preemption")
    (before,) = found.record.attempts
    assert (before.number, before.job, before.reason) == (1, one, GONE)
    assert find_run(site.project, one, kit.WORKSPACE, site=site).record == found.record


def test_logs_of_attempts_follow_each_other(site: Site, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = "digits-quiet-heron", "digits-quiet-heron-attempt-2"
    workspace.job(one)
    workspace.preempt(one)
    workspace.job(two, "Completed")
    texts = {one: b"step 1\nstep 2", two: b"step 3\n"}
    monkeypatch.setattr(history, "logs_in_store", lambda _site, record: {"user_logs/std_log.txt": record.job_name})
    monkeypatch.setattr(history, "read_log", lambda _plane, address, offset: texts[address][offset:])
    monkeypatch.setattr(history, "metrics", lambda _site, _record: {})
    record = between(phase="acknowledged", state="Running")
    site.store.insert(record)
    written: list[bytes] = []
    said: list[Event] = []
    ended = Run(record, site).stream(written.append, on_event=said.append)
    assert (ended.state, b"".join(written)) == ("Completed", b"step 1\nstep 2step 3\n")
    assert said == [
        Event("log", "user_logs/std_log.txt"),
        Event("newline", ""),
        Event("attempt", "attempt 1 was preempted: The low-priority node n1 was preempted while it ran the job. "
                         "Attempt 2 follows"),
        Event("log", "user_logs/std_log.txt"),
        Event("state", "Completed"),
    ]  # fmt: skip


@pytest.mark.processes
def test_the_prefix_brings_everything_back_and_leaves_the_command_alone(tmp_path: Path) -> None:
    before = tmp_path / "be fore"
    (before / "deep er").mkdir(parents=True)
    (before / "deep er" / "a b.txt").write_text("kept")
    (before / "checkpoint.json").write_text("{}")
    (before / "checkpoint.json").chmod(0o400)
    users = "# mine\necho \"$(cat 'outputs/deep er/a b.txt')\" > seen; echo '{}x' > outputs/checkpoint.json"
    text, bound = command.render(attempts.PREFIX + users, {attempts.INPUT: str(before)}, {})
    assert text.endswith(users)
    work = tmp_path / "work"
    work.mkdir()
    started = [
        subprocess.Popen(["bash", "-c", text], cwd=work, env={"PATH": "/usr/bin:/bin", **bound}) for _ in range(4)
    ]
    assert [process.wait(30) for process in started] == [0] * 4
    assert (work / "seen").read_text() == "kept\n"
    assert (work / attempts.MARKER).read_text() == "restored\n"


@pytest.mark.processes
def test_a_restore_that_fails_ends_the_job_before_its_command(tmp_path: Path) -> None:
    text, bound = command.render(attempts.PREFIX + "touch ran", {attempts.INPUT: str(tmp_path / "nowhere")}, {})
    done = subprocess.run(
        ["bash", "-c", text], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **bound}, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith(b"The outputs of the attempt before could not be restored.\n")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / attempts.MARKER).exists()
