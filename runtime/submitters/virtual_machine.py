"""Runs on a machine reached by SSH: its folder there is the truth, the node supervisor runs it, nobody need stay.

Sending is incremental, and every step may be repeated from the start with the same result; the launch itself is carried
out once, by token, so after a cut it is simply asked again. The workspace's history mirrors the run (`runtime.mirror`),
so that it is found from anywhere.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, cast

from node import layout
from node import status as statuses
from runtime import cargo, clock, crash, distribution, hosts, inputs, local_data, mirror, placing, wire
from runtime.cargo import Cargo
from runtime.clock import stamp
from runtime.errors import (
    ConnectionLostError,
    NotFoundError,
    SubmissionError,
    SubmissionUnknownError,
    TargetError,
    TrainyardError,
)
from runtime.events import Event, size
from runtime.events import files as count_files
from runtime.placing import Abilities
from runtime.project import cache_folder
from runtime.records import Machine
from runtime.site import Look, Point, RunFile
from runtime.ssh import Door
from runtime.submitters import local
from specs.targets import VirtualMachineTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.events import OnEvent
    from runtime.hosts import Host
    from runtime.jobfile import JobFile
    from runtime.placing import Place
    from runtime.project import Project
    from runtime.records import Record, State
    from runtime.site import Metrics, Options, Site, Submission
    from runtime.wire import Object
    from specs.targets import Target

CHUNK = 1 << 20
PIECE = 4 << 20
"""Of a file that is downloaded."""
READ_ONLY = frozenset({None, "ro_mount", "direct"})
"""Modes of an input under which a job gets no copy of its own."""
TRIES = 3
"""How often what vanished from the machine meanwhile is sent again."""


def check(source: JobFile, target: Target, project: Project, options: Options) -> None:
    """Find what no machine could do for this job, and whether this one is known. Raises `SpecError`, `TargetError`."""
    if isinstance(source.code, str):
        message = "is code that a workspace keeps, and a machine gets local folders only. Give a local folder."
        raise source.wrong(("code",), message, given=source.job.code, rule="code")
    inputs.check(source, "VirtualMachine")
    fault = distribution.fault(source.job)
    if fault is not None:
        raise source.wrong(("distribution",), fault, rule="distribution")
    for name, given in source.data.items():
        source.local(name, given)
    _target(target)
    able = Abilities(docker=True, conda="conda", gpus=1, here=False)
    placing.place(project, source, target, able, exact=options.exact)


def _target(target: Target) -> VirtualMachineTarget:
    """Return the target with all that is needed to know it again. Raises `TargetError`."""
    if not isinstance(target, VirtualMachineTarget):
        raise TargetError(f"{target.name} is no VirtualMachine")
    if target.host_key is None:
        raise TargetError(
            f"the host key of {target.name} is not pinned, so nobody could tell whether it is that machine. "
            f"First: invoke host-key {target.name}"
        )
    if not target.address:
        raise TargetError(f"{target.name} has no address. See: invoke targets")
    return target


def launch(site: Site, submission: Submission) -> None:
    """Look the machine over, send what it lacks, and have the run started there; the answer is waited for."""
    record, target = submission.record, _target(submission.target)
    door = Door(target.name, target.address, target.ssh_port, target.username, target.host_key or "", record.stack)
    host = hosts.of(site, record, door, target.id)
    patience, host.policy = host.policy, hosts.PATIENT
    told, host.on_wait = host.on_wait, lambda why: submission.on_event(Event("note", f"{why}. Trying for a minute"))
    try:
        _launch(site, submission, host)
    except SubmissionUnknownError:
        raise
    except TrainyardError as error:
        failed = Look("Failed", reason=f"not submitted: {error.gist}")
        mirror.update(site, record, failed, None)
        raise
    finally:
        host.policy, host.on_wait = patience, told


def _launch(site: Site, submission: Submission, host: Host) -> None:
    record, target, store = submission.record, _target(submission.target), site.store
    goods = _goods(site, submission)
    crash.point("snapshot")
    found = _preflight(host, goods)
    how = _place(site, submission, found)
    crash.point("environment")
    machine = Machine(
        compute_id=target.id,
        address=target.address,
        ssh_port=target.ssh_port,
        username=target.username,
        host_key=target.host_key or "",
        folder=f"{wire.text(found.get('home'))}/runs/{record.id}/attempt-{record.attempt}",
    )
    kept = store.update(record.id, machine=machine, environment=how.words, fidelity=how.fidelity) or record
    with ThreadPoolExecutor(1, thread_name_prefix="mirror") as pool:
        mirrored = pool.submit(_mirror, site, kept, submission)
        _send(submission, host, goods, [wire.text(key) for key in wire.items(found.get("missing"))])
        mirrored.result()
    crash.point("uploaded")
    current = store.get(record.id)
    if current is not None and current.cancel_requested:
        never = Look("Canceled", reason="canceled before it was sent")
        store.update(record.id, state=never.state, reason=never.reason)
        mirror.update(site, record, never, None)
        return
    store.update(record.id, phase="sending", sent=stamp(site.clock.now()))
    given: Object = {"secrets": {**submission.options.secrets}} if submission.options.secrets else {}
    whole: Object = {**goods.described(), "job": describe(kept, submission.source, goods, how), **given}
    _start(submission, host, goods, whole)
    store.update(record.id, phase="acknowledged")


def _mirror(site: Site, record: Record, submission: Submission) -> None:
    mirror.begin(site, record.model_copy(update={"git": submission.git()}), submission.on_event)


def _goods(site: Site, submission: Submission) -> Cargo:
    """Hash the inputs; fetch those that are elsewhere."""
    source, record, found = submission.source, submission.record, dict[str, cargo.Tree]()
    known = site.project.data / "inputs"
    for name, given in source.data.items():
        path = source.local(name, given)
        if path is None and given.mode == "direct":
            continue  # the command is given the address itself, as in Azure and on this machine
        if path is None:
            home = inputs.Home(site.plane(record), record.workspace_id) if record.workspace_id else None
            path = inputs.fetch(source, name, home, cache_folder(), submission.on_event)
        found[name] = cargo.of_input(path.absolute(), known, shared=given.mode in READ_ONLY)
    return Cargo(cargo.of_snapshot(submission.snapshot), found)


def _preflight(host: Host, goods: Cargo) -> Object:
    """Ask what the machine is and which files it lacks, in one exchange. Raises `TargetError` naming every fault."""
    sizes: Object = {key: file.size for key, file in goods.files.items()}
    found = host.ask({"do": "preflight", "objects": sizes, "copied": goods.copied}).said
    problems = [wire.text(item) for item in wire.items(found.get("problems"))]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise TargetError(f"{host.door.where} can't run this job. Nothing was sent.\n{listed}")
    return found


def _place(site: Site, submission: Submission, found: Object) -> Place:
    """Decide the environment by what the machine can do, and say what differs from Azure."""
    gpus = found.get("gpus")
    able = Abilities(
        docker=found.get("docker") is True,
        conda=wire.text(found.get("conda")) or None,
        gpus=gpus if isinstance(gpus, int) else 0,
        here=False,
        python=wire.text(found.get("python")) or None,
    )
    source = submission.source
    how = placing.place(site.project, source, submission.target, able, exact=submission.options.exact)
    submission.on_event(Event("environment", how.words))
    folded = distribution.note(distribution.layout(source.job, 1), submission.target.name)
    for note in (*how.notes, *local.ignored(source, how.environment), *([folded] if folded else [])):
        submission.on_event(Event("note", note))
    return how


def _send(submission: Submission, host: Host, goods: Cargo, missing: list[str]) -> None:
    """Send what the machine lacks. Cut off, it goes on with what is still missing: whole files stay there."""
    files, done = goods.files, 0
    total = sum(files[key].size for key in missing)
    say, shown = submission.on_event, str(submission.snapshot.root) if submission.snapshot else ""
    began, attempt, clock_ = host.clock.monotonic(), 0, host.clock
    while missing:
        try:
            host.send(cargo.outgoing((files[key] for key in missing), shown), partial(_sent, say, [done], total))
            break
        except ConnectionLostError:
            pause = host.policy.pause(attempt, None)
            if clock_.monotonic() - began + pause > host.policy.total_s:
                raise
        clock_.sleep(pause)
        attempt += 1
        left = [wire.text(key) for key in wire.items(_preflight(host, goods).get("missing"))]
        if len(left) < len(missing):
            began, attempt = clock_.monotonic(), 0  # it gets on
        missing, done = left, total - sum(files[key].size for key in left)
    words = f"{size(total)} sent" if total else "already there, nothing sent"
    say(Event("snapshot", f"{count_files(len(goods.code.files))}, {words}"))


def _sent(say: OnEvent, done: list[int], total: int, count: int) -> None:
    done[0] += count
    say(Event("upload", "snapshot", done[0], total))


def describe(record: Record, source: JobFile, goods: Cargo, how: Place) -> Object:
    """Build the supervisor's `job.json`; its relative paths begin at the run's folder there."""
    texts = {**source.literals, **{name: data.path or "" for name, data in source.data.items()}}
    given: Object = {name: {"value": value} for name, value in texts.items()}
    for name, tree in goods.inputs.items():
        given[name] = {"path": f"inputs/{name}/{tree.files[0].path}" if tree.single else f"inputs/{name}"}
    limit = source.job.limits.timeout
    return {
        "run_id": record.id,
        "attempt": record.attempt,
        "experiment": record.experiment,
        "command": source.job.command,
        "code": layout.CODE,
        "inputs": given,
        "outputs": {name: local_data.with_the_run(name, kept) for name, kept in source.job.outputs.items()},
        "environment_variables": dict(source.job.environment_variables),
        "environment": how.environment,
        "limits": how.limits,
        "distribution": distribution.describe(distribution.layout(source.job, 1)),
        "timeout_s": limit.total_seconds() if limit else None,
        "tags": dict(source.job.tags),
        "created": record.created,
        **local.named_secrets(record),
    }


def _start(submission: Submission, host: Host, goods: Cargo, whole: Object) -> None:
    """Have the run started; asked again until it is answered. Raises `SubmissionError`, `SubmissionUnknownError`."""
    record = submission.record
    request: Object = {**_request(record, "launch"), "token": record.token, "given": whole}
    for _ in range(TRIES):
        try:
            said = host.ask(request, on_sent=lambda: crash.point("put-sent")).said
        except ConnectionLostError as lost:
            raise SubmissionUnknownError(record.id, str(lost)) from None
        if "folder" in said:
            return
        if "taken" in said:
            place = f"{host.door.where} already has a run named {record.id} ({wire.text(said['taken'])})"
            raise SubmissionError(f"{place}. Submit again, or choose another name")
        if "never" in said:
            raise SubmissionError(f"another command gave {record.id} up meanwhile; it was not started. Submit it again")
        _send(submission, host, goods, [wire.text(key) for key in wire.items(said.get("missing"))])
    raise SubmissionError(f"{host.door.where} keeps losing the files of {record.id}. It was not started")


def look(site: Site, record: Record) -> Look:
    """Ask the machine, and pass on to the workspace's history what it says."""
    if record.machine is None:
        return _unsent(site, record)
    launched = record.phase == "acknowledged"
    submitting = not launched and site.store.is_submitting(record.id)
    request = {**_request(record, "look"), "give_up": not launched and not submitting, "launched": launched}
    said = hosts.of_record(site, record).ask(request).said
    if not said.get("found") or said.get("token") != record.token:
        if submitting:
            return Look(record.state, phase=record.phase)
        if not launched:
            return _unsent(site, record)
        reason = f"{record.target} does not have it: it is still being sent, or its folder there was deleted"
        return Look("Unknown", reason=reason, lost=True)
    found = _seen(record, said, submitting=submitting)
    if not submitting:
        mirror.update(site, record, found, said)
    return found


def _unsent(site: Site, record: Record) -> Look:
    """Judge a run that its machine never got."""
    if site.store.is_submitting(record.id):
        return Look(record.state, phase=record.phase)
    found = _never_started(record)
    mirror.update(site, record, found, None)
    return found


def _never_started(record: Record) -> Look:
    if record.cancel_requested:
        return Look("Canceled", reason="canceled before it started", phase=record.phase)
    who = "supervisor died" if record.phase == "acknowledged" else "submission was interrupted"
    reason = f"the {who} before the run started; nothing ran. Submit it again"
    return Look("Failed", reason=reason, phase=record.phase)


def _seen(record: Record, said: Object, *, submitting: bool) -> Look:
    status = statuses.parse(wire.obj(said.get("status")))
    if status.state == statuses.NOT_STARTED and not said.get("supervised"):
        # Its folder is there before its supervisor is; whoever submits it is about to start that one.
        return Look(record.state, phase=record.phase) if submitting else _never_started(record)
    duration = status.duration_s
    if duration is None and not status.terminal:
        duration = clock.seconds_between(status.times.get("running"), wire.text(said.get("now")))
    return Look(
        state=cast("State", status.state),
        reason=status.reason,
        started=status.times.get("running") or status.times.get("preparing"),
        ended=status.times.get("ended"),
        duration_s=duration,
        exit_code=status.exit_code,
        logs={name: name for name in wire.obj(said.get("logs"))},
    )


def _request(record: Record, action: str) -> Object:
    return {"do": action, "run": record.id, "attempt": record.attempt}


def metrics(site: Site, record: Record) -> Metrics:
    """Return the last value of each metric."""
    said = hosts.of_record(site, record).ask(_request(record, "look")).said
    return {key: float(wire.text(value)) for key, value in wire.obj(said.get("metrics")).items()}


def params(site: Site, record: Record) -> dict[str, str]:
    """Return the parameters that the job logged."""
    said = hosts.of_record(site, record).ask(_request(record, "look")).said
    return {key: wire.text(value) for key, value in wire.obj(said.get("params")).items()}


def history(site: Site, record: Record, key: str) -> list[Point]:
    """Return every value of one metric."""
    return [point for _, point in points(site, record, key)]


def points(site: Site, record: Record, key: str | None = None, start: int = 0) -> Iterator[tuple[str, Point]]:
    """Yield logged values with their metric, in the order of logging, from a place in it on."""
    said = hosts.of_record(site, record).ask({**_request(record, "history"), "key": key, "start": start}).said
    for row in wire.items(said.get("points")):
        name, value, timestamp, step = wire.items(row)
        yield wire.text(name), Point(float(str(value)), int(str(step)), int(str(timestamp)))


def read_log(site: Site, record: Record, address: str, offset: int) -> bytes:
    """Return what a log holds from an offset on."""
    return _read(site, record, address, offset, CHUNK)


def _read(site: Site, record: Record, path: str, offset: int, length: int) -> bytes:
    request = {**_request(record, "read"), "path": path, "offset": offset, "length": length}
    return hosts.of_record(site, record).ask(request).body


def nodes(_site: Site, _record: Record) -> int | None:
    """Return None: a machine has no nodes that come and go."""
    return None


def cancel(site: Site, record: Record) -> None:
    """Ask the supervisor to end the run; durable there on return. A run that never got there is settled by a look."""
    if record.machine is not None:
        hosts.of_record(site, record).ask(_request(record, "cancel"))


def files(site: Site, record: Record) -> list[RunFile]:
    """List outputs, named outputs and logs, also while they are written."""
    if record.machine is None:
        raise NotFoundError(f"{record.id} left no files: it never started")
    said = hosts.of_record(site, record).ask(_request(record, "files")).said
    if not said.get("found"):
        raise NotFoundError(f"{record.id} left no files: it never started, or its folder was deleted there")
    return [_file(site, record, wire.items(row)) for row in wire.items(said.get("files"))]


def _file(site: Site, record: Record, row: list[wire.Json]) -> RunFile:
    name, path, count, changed = str(row[0]), str(row[1]), int(str(row[2])), int(str(row[3]))
    return RunFile(name, count, partial(_content, site, record, path, count), f"{changed}-{count}")


def _content(site: Site, record: Record, path: str, count: int) -> Iterator[bytes]:
    """Yield a file's content as far as it was when it was listed."""
    offset = 0
    while offset < count and (piece := _read(site, record, path, offset, min(PIECE, count - offset))):
        yield piece
        offset += len(piece)
