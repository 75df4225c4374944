"""Computes with real processes, in process: clusters, an instance, and what tests ask of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from emulator import blobstore, instances, jobrecords, live, ml, uris
from emulator.clusters import Clusters
from tests.emulator.dataplane_kit import CPU, INSTANCE, SPOT, WS, Caller, cloud, command_job, compute

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.routing import Json

DEADLINE_S = 40.0


class Site:
    """Clusters with real processes; environments are this interpreter."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.left: list[subprocess.Popen[bytes]] = []
        self.cloud: Cloud = cloud(home)
        self.call = Caller(self.cloud)
        self.clusters = Clusters(self.cloud)
        self.cloud.clusters = self.clusters
        self.clusters.start()

    def submit(self, name: str, command: str, **more: Json) -> None:
        self.call.ok("PUT", f"{WS}/jobs/{name}", command_job(command, **more), 201)

    def record(self, name: str) -> Record:
        found = jobrecords.get(self.cloud, f"{WS}/jobs/{name}")
        assert found is not None
        return found

    def wait(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not until():
            assert time.monotonic() < deadline, [self.record(name) for name in self.names()]
            time.sleep(0.02)

    def names(self) -> list[str]:
        return [str(document["name"]) for document in self.cloud.state.children(f"{WS}/jobs")]

    def ended(self, name: str) -> Record:
        self.wait(lambda: self.record(name).terminal)
        return self.record(name)

    def running(self, name: str) -> Record:
        self.wait(lambda: self.record(name).status == "Running")
        return self.record(name)

    def blob(self, name: str) -> bytes:
        workspace = ml.by_id(self.cloud, WS)
        assert workspace is not None
        found = blobstore.get(self.cloud, uris.datastore(self.cloud, workspace, uris.ARTIFACTS), name)
        assert found is not None, name
        return found.path.read_bytes()

    def idle_for(self, seconds: int) -> None:
        self.cloud.state.put(CPU, compute(CPU, most=2, idle=f"PT{seconds}S"))

    def stored(self, job: str) -> list[str]:
        """List what a job has in storage, by name below its folder."""
        workspace = ml.by_id(self.cloud, WS)
        assert workspace is not None
        root = live.prefix(job)
        where = uris.datastore(self.cloud, workspace, uris.ARTIFACTS)
        return [found.name.removeprefix(root) for found in blobstore.listing(self.cloud, where, root)]

    def output(self, job: str, name: str) -> bytes:
        return self.blob(f"{live.prefix(job)}{name}")

    def instance(self) -> None:
        """Make a compute instance that is on."""
        inner: dict[str, Json] = {"vmSize": "STANDARD_DS3_V2"}
        outer: dict[str, Json] = {
            "computeType": "ComputeInstance",
            "computeLocation": "westeurope",
            "provisioningState": "Succeeded",
            "properties": inner,
        }
        kind = "Microsoft.MachineLearningServices/workspaces/computes"
        self.cloud.state.put(INSTANCE, {"id": INSTANCE, "name": "anna-ci", "type": kind, "properties": outer})
        self.power("Running")

    def power(self, state: str) -> None:
        known: dict[str, Json] = {"state": state, "since": ml.stamp(self.cloud.now()), "lastOperation": None}
        self.cloud.state.put(f"{INSTANCE}/__instance", known, instances.KIND)
        self.clusters.kick()

    def again(self) -> None:
        """Look with new eyes, as an emulator does that was killed and started again."""
        self.abandon()
        self.left += list(self.clusters._fleet._children.values())
        self.clusters = self.cloud.clusters = Clusters(self.cloud)
        self.clusters.start()

    def abandon(self) -> None:
        """Stop looking without ending anything, as kill -9 does."""
        self.clusters._shared.stopping = True
        self.clusters.kick()
        thread = self.clusters._thread
        assert thread is not None
        thread.join()

    def stop(self) -> None:
        for id_ in (CPU, SPOT, INSTANCE):
            self.clusters.compute_deleted(id_)
        for record in jobrecords.active(self.cloud):
            self.clusters.compute_deleted(record.compute_id)
        self.clusters.stop()
        for child in self.left:
            child.wait()
        self.cloud.state.close()
