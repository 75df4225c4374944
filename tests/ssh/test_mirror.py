"""A machine's run in the workspace's history (a real emulator): what is written there, and who finds the run by it."""

from __future__ import annotations

from getpass import getuser
from typing import TYPE_CHECKING

import pytest

from runtime import mirror, outputs, runs, submitters, wire
from runtime.errors import TargetError
from runtime.site import open_site
from tests.runtime import kit as runtime_kit
from tests.ssh import kit
from tests.ssh.test_runs import METRIC, contents, finished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.project import Project
    from runtime.site import Site
    from runtime.wire import Object


def attach(project: Project, machine: kit.Machine, private_key: str) -> None:
    """Attach the machine to the emulated workspace, with a key that it keeps."""
    account: Object = {"username": getuser(), "privateKeyData": private_key}
    settings: Object = {"address": "127.0.0.1", "sshPort": machine.port, "administratorAccount": account}
    body: Object = {
        "location": "westeurope",
        "properties": {"computeType": "VirtualMachine", "properties": settings, "disableLocalAuth": True},
    }
    plane = open_site(project).cloud("emulator")
    plane.delete(kit.VM, "2025-12-01", {"underlyingResourceAction": "Detach"})
    plane.put(kit.VM, body, "2025-12-01")


@pytest.fixture
def site(emulated: Project, machine: kit.Machine, tmp_path: Path) -> Iterator[Site]:
    """Make a clone that knows the emulator, the stack and the machine."""
    machine.let_in(kit.key_pair(tmp_path / "kept"))
    attach(emulated, machine, (tmp_path / "kept").read_text())
    with kit.clone(emulated, tmp_path / "first") as made:
        outputs.save(made.project, kit.outputs_of(machine))
        yield made


def told(site: Site, run: runs.Run) -> Object:
    """Return what the history says of a run, which it has once: status, tags, parameters, metrics."""
    record = run.record
    experiment = mirror._experiment(site, record)
    wanted: Object = {"experiment_ids": [experiment], "filter": f"tags.`{mirror.TOKEN}` = '{record.token}'"}
    (found,) = wire.items(mirror._post(site, record, "runs/search", wanted)["runs"])
    id_ = wire.text(wire.at(found, "info", "run_id"))
    history = mirror._get(site, record, "metrics/get-history", {"run_id": id_, "metric_key": "loss"})
    return {
        "status": wire.at(found, "info", "status"),
        "tags": dict(mirror._unpaired(wire.at(found, "data", "tags"))),
        "params": dict(mirror._unpaired(wire.at(found, "data", "params"))),
        "loss": [[wire.obj(item)["step"], wire.obj(item)["value"]] for item in wire.items(history["metrics"])],
    }


def test_a_runs_state_and_values_are_in_the_history(site: Site, machine: kit.Machine, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "job", "python metric.py", experiment_name="mirrored")
    (tmp_path / "job/src/metric.py").write_text(METRIC)
    run = finished(kit.submitted(site, job, machine))
    assert run.record.machine is not None
    found = told(site, run)
    assert found["status"] == "FINISHED"
    assert found["loss"] == [[0, 1.0], [1, 0.5], [2, 1 / 3]]
    assert found["params"] == {"depth": "3"}
    tags = found["tags"]
    assert isinstance(tags, dict)
    assert {key: value for key, value in tags.items() if key.startswith("trainyard.")} == {
        mirror.RUN: run.id,
        mirror.TOKEN: run.record.token,
        mirror.KIND: "VirtualMachine",
        mirror.MACHINE: run.record.machine.model_dump_json(),
        mirror.TOLD: "3",
        mirror.STATE: "Completed",
        "trainyard.target": "gpu-box",
        "trainyard.snapshot": run.record.snapshot,
        "trainyard.created": run.record.created,
    }


def test_an_empty_home_finds_reads_and_cancels_a_run(
    site: Site, machine: kit.Machine, emulated: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = kit.a_job(tmp_path / "job", "echo up; echo kept > outputs/f.txt; sleep 300")
    run = kit.submitted(site, job, machine)
    kit.until(lambda: kit.log_of(run) == b"up\n")
    monkeypatch.setenv("HOME", str(tmp_path / "another user"))  # no key here: the workspace's is used
    with kit.clone(emulated, tmp_path / "second") as second:
        found = runs.find_run(second.project, run.id, runtime_kit.WORKSPACE, site=second)
        assert (found.record.machine, found.record.token) == (run.record.machine, run.record.token)
        assert (found.target, found.experiment, found.created) == ("gpu-box", "digits", run.created)
        assert found.refresh().state == "Running"
        assert kit.log_of(found) == b"up\n"
        assert found.cancel().wait(120).state == "Canceled"
        assert contents(found)["outputs/f.txt"] == b"kept\n"
        assert told(second, found)["status"] == "KILLED"
    assert run.wait(120).state == "Canceled"


def test_a_clone_with_the_stack_believes_the_stacks_host_key(
    site: Site, machine: kit.Machine, emulated: Project, tmp_path: Path
) -> None:
    run = finished(kit.submitted(site, kit.a_job(tmp_path / "job", "true"), machine))
    other = kit.key_pair(tmp_path / "other")
    with kit.clone(emulated, tmp_path / "second") as second:
        known = kit.outputs_of(machine)
        target = known.targets["gpu-box"].model_copy(update={"host_key": other})
        outputs.save(
            second.project, known.model_copy(update={"targets": {"gpu-box": target}, "default_target": "gpu-box"})
        )
        found = runs.find_run(second.project, run.id, runtime_kit.WORKSPACE, site=second)
        assert found.record.machine is not None
        assert found.record.machine.host_key == other
        assert kit.message(lambda: submitters.of("VirtualMachine").look(second, found.record)).startswith(
            f"gpu-box (127.0.0.1:{machine.port}) answered with another host key than the one pinned in the stack."
        )


def test_a_history_that_was_away_is_told_later_and_once(site: Site, machine: kit.Machine, tmp_path: Path) -> None:
    real = site.planes.pop("emulator", None) or site.cloud("emulator")
    site.planes["emulator"] = runtime_kit.fake_plane(
        runtime_kit.FakeTransport(on=lambda _request: (403, kit.REFUSED)), runtime_kit.HeldClock()
    )
    run = kit.submitted(site, kit.a_job(tmp_path / "job", "sleep 1"), machine)
    site.planes["emulator"] = real
    site.bases.clear()
    for _ in range(3):
        run = run.refresh()
    run = finished(run)
    assert told(site, run)["status"] == "FINISHED"


def test_a_run_that_never_started_does_not_run_on_in_the_history(
    site: Site, machine: kit.Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        if name == "uploaded":
            raise TargetError("the machine burnt down")

    monkeypatch.setattr("runtime.crash.point", fail)
    job = kit.a_job(tmp_path / "job", "true")
    assert kit.message(lambda: kit.submitted(site, job, machine)) == "the machine burnt down"
    (record,) = site.store.all()
    found = told(site, runs.Run(record, site))
    tags = found["tags"]
    assert isinstance(tags, dict)
    assert (found["status"], tags[mirror.REASON]) == ("FAILED", "not submitted: the machine burnt down")


def test_an_id_that_is_no_id_is_not_looked_for(site: Site) -> None:
    for name in ("x' or tags.y = 'z", "", "../x"):
        assert mirror.find(site, runtime_kit.WORKSPACE, name) is None
    assert mirror.find(site, runtime_kit.WORKSPACE, "nobody-knows") is None
