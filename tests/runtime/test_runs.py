"""The rules about a run's record, with a workspace that answers as each test says."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from runtime import outputs
from runtime.errors import ConnectionLostError, NotFoundError, SubmissionError, SubmissionUnknownError
from runtime.records import Record
from runtime.runs import Run, as_known, find_run, list_runs
from runtime.submit import submit
from runtime.transport import NotSentError, Request, UnansweredError
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.site import Site
    from runtime.wire import Json, Object

ENVIRONMENT = f"{kit.WORKSPACE}/environments/base/versions/1"
CUT = UnansweredError("cut")


class Workspace:
    """A workspace with one named environment; `jobs` says how often each thing of a job is answered."""

    def __init__(self, transport: kit.FakeTransport) -> None:
        self.jobs: dict[str, Object] = {}
        self.put: list[kit.Reply] = []
        """What PUT of a job answers, in order, then it is accepted. (0, None): accepted, and the answer is lost."""
        self.seen: list[kit.Reply] = []
        """What GET of a job answers, in order, before the truth."""
        self.puts = 0
        self.cancels = 0
        transport.on = self.answer

    def answer(self, request: Request) -> kit.Reply | None:
        path = urlsplit(request.url).path
        name = path.rpartition("/jobs/")[2]
        if path == kit.CPU:
            return 200, {"properties": {"properties": {"currentNodeCount": 0}}}
        if path == kit.WORKSPACE:
            return 200, {"properties": {"discoveryUrl": "https://localhost:1/discovery"}}
        if path == "/discovery":
            return 200, {"api": "https://localhost:1"}
        if path.endswith("/runs/get"):
            return 200, {"run": {"data": {"metrics": [{"key": "accuracy", "value": "0.9", "step": 1}]}}}
        if path.endswith("/cancel"):
            self.cancels += 1
            return 202, None
        if path.endswith("/details"):
            job = self.jobs.get(path.split("/")[-2])
            return (404, None) if job is None else (200, self.details(job))
        if request.method == "PUT":
            return self.submit(name, request)
        if self.seen:
            return self.seen.pop(0)
        job = self.jobs.get(name)
        return (404, {"error": {"code": "UserError", "message": "no such job"}}) if job is None else (200, job)

    def details(self, job: Object) -> Json:
        properties = job["properties"]
        assert isinstance(properties, dict)
        return {"status": properties["status"], "startTimeUtc": "2026-11-21T10:00:00.1234567Z", "endTimeUtc": None}

    def submit(self, name: str, request: Request) -> kit.Reply:
        from runtime import wire

        self.puts += 1
        reply = self.put.pop(0) if self.put else None
        if reply is not None and reply != (0, None):
            return reply
        body = wire.obj(wire.parse(request.body or b"{}"))
        properties = wire.obj(body["properties"])
        self.jobs[name] = {"id": name, "name": name, "properties": {**properties, "status": "Queued"}}
        return UnansweredError("cut") if reply == (0, None) else (201, self.jobs[name])


@pytest.fixture
def workspace(transport: kit.FakeTransport) -> Workspace:
    return Workspace(transport)


def send(site: Site, tmp_path: Path) -> Run:
    job = kit.a_job(tmp_path / "digits", code=None, environment="azureml:base:1", inputs=None, command="true")
    return submit(job, "cpu-cluster", stack=kit.some_outputs(), project=site.project, site=site)


def test_a_job_is_put_once_with_ids_and_a_token(
    site: Site, workspace: Workspace, transport: kit.FakeTransport, tmp_path: Path
) -> None:
    run = send(site, tmp_path)
    assert (run.state, workspace.puts) == ("Queued", 1)
    assert repr(run) == f"<Run {run.id} on cpu-cluster: Queued>"
    (body,) = [body for body in transport.bodies if "properties" in body]
    assert body["properties"] == {
        "jobType": "Command",
        "command": "true",
        "environmentId": ENVIRONMENT,
        "computeId": kit.CPU,
        "experimentName": "digits",
        "tags": {},
        "properties": {"trainyard.retry": "none", "trainyard.token": run.record.token},
        "environmentVariables": {},
        "inputs": {},
        "outputs": {},
        "resources": {"instanceCount": 1, "properties": {}},
        "isArchived": False,
    }


def test_an_answer_that_was_lost_is_settled_by_name(site: Site, workspace: Workspace, tmp_path: Path) -> None:
    workspace.put = [(0, None)]
    workspace.seen = [(404, None), CUT]
    run = send(site, tmp_path)
    assert (run.state, run.record.phase, workspace.puts) == ("Queued", "acknowledged", 1)


def test_an_outcome_that_stays_unknown_carries_the_run_and_is_judged_later(
    site: Site, workspace: Workspace, tmp_path: Path, clock: kit.HeldClock
) -> None:
    workspace.put = [CUT]
    with pytest.raises(SubmissionUnknownError) as unknown:
        send(site, tmp_path)
    assert unknown.value.run_id in str(unknown.value)
    (seen,) = list_runs(site.project, site=site)
    assert (seen.id, seen.state) == (unknown.value.run_id, "NotStarted")
    clock.seconds += 60
    (seen,) = list_runs(site.project, site=site)
    assert seen.state == "Failed"
    assert workspace.puts == 1


def test_a_job_that_appears_late_is_adopted_and_never_sent_again(
    site: Site, workspace: Workspace, tmp_path: Path
) -> None:
    workspace.put = [(0, None)]
    workspace.seen = [(404, None)] * 100
    with pytest.raises(SubmissionUnknownError):
        send(site, tmp_path)
    workspace.seen = []
    (seen,) = list_runs(site.project, site=site)
    assert (seen.state, seen.metrics, workspace.puts) == ("Queued", {"accuracy": 0.9}, 1)


def test_a_job_of_that_name_that_is_not_ours_is_not_adopted(site: Site, workspace: Workspace, tmp_path: Path) -> None:
    workspace.put = [(200, {"properties": {"status": "Running", "properties": {"trainyard.token": "another's"}}})]
    with pytest.raises(SubmissionError, match="the workspace already has a job named"):
        send(site, tmp_path)
    (seen,) = list_runs(site.project, site=site)
    assert seen.state == "Failed"


def test_no_connection_means_that_it_certainly_did_not_start(site: Site, workspace: Workspace, tmp_path: Path) -> None:
    workspace.put = [NotSentError("localhost:1: Connection refused")] * 50
    with pytest.raises(SubmissionError, match="The run was not started"):
        send(site, tmp_path)
    assert workspace.jobs == {}


def test_a_service_that_is_away_makes_runs_stale_and_never_fails_the_list(
    site: Site, workspace: Workspace, transport: kit.FakeTransport, tmp_path: Path
) -> None:
    run = send(site, tmp_path)
    transport.on = lambda _request: NotSentError("localhost:1: Connection refused")
    (seen,) = list_runs(site.project, site=site)
    assert (seen.id, seen.state) == (run.id, "Queued")
    assert seen.stale == "no answer: localhost:1: Connection refused. Start it: invoke emulator.start"


def test_a_cancel_that_could_not_be_sent_is_sent_by_the_next_command(
    site: Site, workspace: Workspace, transport: kit.FakeTransport, tmp_path: Path
) -> None:
    run = send(site, tmp_path)
    transport.on = lambda _request: NotSentError("refused")
    assert run.cancel().stale is not None
    assert workspace.cancels == 0
    transport.on = workspace.answer
    for _ in range(3):
        list_runs(site.project, site=site)
    assert workspace.cancels == 1


def test_a_cancel_during_the_submission_is_honoured(site: Site, workspace: Workspace, tmp_path: Path) -> None:
    original = workspace.answer

    def cancel_meanwhile(request: Request) -> kit.Reply | None:
        for record in site.store.all():
            site.store.update(record.id, cancel_requested=True)
        return original(request)

    plane = site.planes["emulator"]
    plane.transport.on = cancel_meanwhile  # type: ignore[attr-defined]  # the fake's
    run = send(site, tmp_path)
    assert (run.state, run.record.reason, workspace.puts) == ("Canceled", "canceled before it was sent", 0)


def test_a_deleted_job_is_unknown_and_says_why(site: Site, workspace: Workspace, tmp_path: Path) -> None:
    run = send(site, tmp_path)
    workspace.jobs.clear()
    seen = run.refresh()
    assert seen.state == "Unknown"
    assert seen.record.reason == "its workspace no longer knows it (destroyed?)"


def test_a_run_that_ended_is_not_asked_about_again(
    site: Site, workspace: Workspace, transport: kit.FakeTransport, tmp_path: Path
) -> None:
    run = send(site, tmp_path)
    properties = workspace.jobs[run.id]["properties"]
    assert isinstance(properties, dict)
    properties["status"] = "Completed"
    assert run.refresh().metrics == {"accuracy": 0.9}
    transport.asked.clear()
    (seen,) = list_runs(site.project, site=site)
    assert (seen.state, seen.metrics, transport.asked) == ("Completed", {"accuracy": 0.9}, [])


def test_a_running_run_tells_how_long_it_runs(
    site: Site, workspace: Workspace, tmp_path: Path, clock: kit.HeldClock
) -> None:
    run = send(site, tmp_path)
    clock.seconds += 42
    assert run.refresh().duration_s == pytest.approx(41.877)


def test_a_local_run_belongs_to_no_workspace(site: Site) -> None:
    from runtime.errors import TargetError

    record = Record.model_validate(
        {"id": "r", "kind": "Local", "target": "local", "experiment": "e", "token": "t", "created": "c"}
    )
    with pytest.raises(TargetError, match="r ran on this machine only"):
        site.plane(record)


def test_the_errors_exit_codes_are_all_different() -> None:
    from runtime import errors

    classes = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    assert sorted(item.exit_code for item in classes) == list(range(1, len(classes) + 1))
    assert all(issubclass(item, errors.TrainyardError) for item in classes)
    assert ConnectionLostError in classes


def test_waiting_for_a_deleted_job_ends(site: Site, workspace: Workspace, tmp_path: Path) -> None:
    run = send(site, tmp_path)
    workspace.jobs.clear()
    with pytest.raises(NotFoundError, match="its workspace no longer knows it"):
        run.wait()
    with pytest.raises(NotFoundError, match="its workspace no longer knows it"):
        run.stream(lambda _: None)
    with pytest.raises(NotFoundError, match=r"\(destroyed\?\), so there is nothing to cancel"):
        run.cancel()


def test_a_lost_run_is_not_asked_about_again_but_by_its_name(
    site: Site, workspace: Workspace, transport: kit.FakeTransport, tmp_path: Path
) -> None:
    run = send(site, tmp_path)
    jobs = dict(workspace.jobs)
    workspace.jobs.clear()
    (lost,) = list_runs(site.project, site=site)
    assert (lost.state, lost.record.lost) == ("Unknown", True)
    transport.asked.clear()
    (again,) = list_runs(site.project, site=site)
    assert (again.state, again.stale, transport.asked) == ("Unknown", None, [])
    workspace.jobs.update(jobs)
    named = as_known(again)
    assert (named.id, named.state, named.record.reason, named.record.lost) == (run.id, "Queued", None, False)


@pytest.mark.parametrize("code", ["ResourceNotFound", "ResourceGroupNotFound"])
def test_a_run_whose_workspace_is_gone_says_so(
    site: Site, workspace: Workspace, transport: kit.FakeTransport, tmp_path: Path, code: str
) -> None:
    run = send(site, tmp_path)
    transport.on = lambda _request: (404, {"error": {"code": code, "message": "no such thing"}})
    seen = as_known(run)
    assert (seen.state, seen.stale, seen.record.reason) == ("Unknown", None, "its workspace is gone (destroyed?)")
    with pytest.raises(NotFoundError, match="its workspace is gone"):
        seen.stream(lambda _: None)


def test_a_run_that_ended_keeps_what_was_seen_when_its_workspace_is_gone(
    site: Site, workspace: Workspace, transport: kit.FakeTransport, tmp_path: Path
) -> None:
    run = send(site, tmp_path)
    site.store.update(run.id, state="Completed", metrics={"accuracy": 0.5})
    transport.on = lambda _request: (404, {"error": {"code": "ResourceGroupNotFound", "message": "no such thing"}})
    (seen,) = list_runs(site.project, site=site)
    assert (seen.state, seen.metrics, seen.stale) == ("Completed", {"accuracy": 0.5}, None)
    transport.asked.clear()
    list_runs(site.project, site=site)
    assert transport.asked == []


@pytest.mark.parametrize("reply", [NotSentError("refused"), (403, {"error": {"code": "No", "message": "not you"}})])
def test_a_run_that_cannot_be_asked_about_is_shown_as_last_seen(
    site: Site, workspace: Workspace, transport: kit.FakeTransport, tmp_path: Path, reply: kit.Reply
) -> None:
    run = send(site, tmp_path)
    transport.on = lambda _request: reply
    seen = as_known(run)
    assert (seen.record, seen.stale is not None) == (run.record, True)


def test_a_workspace_is_named_once_when_a_run_is_not_found(site: Site, transport: kit.FakeTransport) -> None:
    for stack in ("a", "b"):
        outputs.save(site.project, kit.some_outputs().model_copy(update={"stack": stack}))
    transport.on = lambda _request: (404, {"error": {"code": "UserError", "message": "no such job"}})
    with pytest.raises(NotFoundError, match=r"^no run nobody in this project, nor in the workspace research\.$"):
        find_run(site.project, "nobody", site=site)
    assert [path.rpartition("/")[2] for _, path in transport.asked].count("nobody") == 1
