"""From a job's `print` to the terminal, on every kind of target, beside azure-ai-ml's `jobs.stream` of the same job.

    python benchmarks/log_lines.py [--lines 60] [--json]

A job prints the moment with each line, at random pauses of up to 0.4 s. `Run.stream` notes when the line comes to the
function that writes to the terminal; azure-ai-ml, in a process of its own that has imported all before the job is
submitted, when it comes to its standard output. All read one machine's clock. The targets: `local`, a cluster and an
instance in the emulator, and a machine behind a real sshd. Bytes are those of both directions while the log is
followed, the state of the run included, counted by a proxy before the emulator or the sshd (TLS and SSH and all); on
`local` there is no wire. azure-ai-ml polls as it does by default (`AZUREML_RUN_POLLING_INTERVAL_MIN`, `_MAX`: from 2 s
on, less and less often, up to 60 s), each time with the whole log. Exit code 1 when a 95th percentile of ours is above
0.5 s.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clone import circumstances, clone, plain, write_job
from ssh_upload import machine_in
from traffic import redirect, through

from emulator import launch
from runtime import hosts
from runtime.site import open_site
from runtime.submit import submit
from tests.ssh import kit

if TYPE_CHECKING:
    from traffic import Counts, Wire

    from console.yard import Yard
    from runtime.runs import Run
    from specs.targets import DeployedTarget

LINE_S = 0.5
HERE = Path(__file__).parent
CLUSTER, INSTANCE, MACHINE = "cpu-cluster", "dev-box", "gpu-box"
COMPUTES = """\
      dev-box:
        kind: ComputeInstance
        vm_size: Standard_D2_v2
"""
TALKER = """
import random, sys, time
random.seed(7)
for _ in range(int(sys.argv[1])):
    time.sleep(random.uniform(0.0, 0.4))
    print("at", time.time(), flush=True)
"""
PEER = """
import json, os, socket, sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[5])
import traffic
traffic.redirect(int(sys.argv[3]), int(sys.argv[4]))
# Names below `localhost` as systemd-resolved and macOS resolve them; glibc alone doesn't.
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: real(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)
from azure.ai.ml import MLClient
from azure.identity import ClientSecretCredential
credential = ClientSecretCredential(
    *(os.environ[name] for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")),
    authority="https://" + os.environ["ARM_METADATA_HOSTNAME"], disable_instance_discovery=True)
client = MLClient(
    credential, os.environ["ARM_SUBSCRIPTION_ID"], sys.argv[1], sys.argv[2], enable_telemetry=False)
client.workspaces.get(sys.argv[2])
class Terminal:
    def __init__(self):
        self.rest, self.found = "", []
    def write(self, text):
        now = time.time()
        *lines, self.rest = (self.rest + text).split("\\n")
        self.found += [now - float(line[3:]) for line in lines if line.startswith("at ")]
        return len(text)
    def flush(self):
        pass
out, terminal = sys.stdout, Terminal()
print("ready", file=out, flush=True)
name = sys.stdin.readline().strip()
sys.stdout = terminal
client.jobs.stream(name)
print(json.dumps(terminal.found), file=out, flush=True)
"""


@dataclass(frozen=True)
class Found:
    """What one stream of one job took."""

    late_s: list[float]
    """Of every line, the first one first."""
    counts: Counts | None
    """None where there is no wire."""

    @property
    def p95(self) -> float:
        """The 95th percentile (nearest rank)."""
        return sorted(self.late_s)[math.ceil(0.95 * len(self.late_s)) - 1]

    def summary(self) -> dict[str, float | int | None]:
        """Return the figures."""
        return {
            "first_s": self.late_s[0],
            "median_s": statistics.median(self.late_s),
            "p95_s": self.p95,
            "most_s": max(self.late_s),
            "bytes": sum(self.counts) if self.counts else None,
        }

    def words(self) -> str:
        """Return them as text."""
        moved = f"{sum(self.counts) / 1000:.0f} KB" if self.counts else "no wire"
        return (
            f"first line {self.late_s[0]:.2f}   median {statistics.median(self.late_s):.2f}   p95 {self.p95:.2f}   "
            f"most {max(self.late_s):.2f}   {moved}"
        )


def ended(run: Run) -> None:
    """Insist on its completion."""
    if run.state != "Completed":
        sys.exit(f"{run.id} is {run.state}: {run.record.reason}")


def checked(found: list[float], count: int, who: str) -> list[float]:
    """Insist that every line came, once."""
    if len(found) != count:
        sys.exit(f"{who}: {len(found)} lines came, not {count}")
    return found


def ours(yard: Yard, target: str, count: int, wire: Wire | None, box: DeployedTarget | None = None) -> Found:
    """Follow a run on a target; `box`: one that the stack does not have."""
    known = yard.outputs("local")
    if box is not None:
        known = known.model_copy(update={"targets": {**known.targets, target: box}})
    site, late = open_site(yard.project), list[float]()

    def write(chunk: bytes) -> None:
        now = time.time()
        late.extend(now - float(line[3:]) for line in chunk.decode().splitlines() if line.startswith("at "))

    try:
        run = submit(talker(yard, count), target, stack=known, project=yard.project, site=site)
        before = wire.counts if wire else None
        ended(run.stream(write))
        moved = wire.counts.since(before) if wire and before else None
    finally:
        hosts.close(site)
    return Found(checked(late, count, target), moved)


def talker(yard: Yard, count: int) -> Path:
    """Write the job."""
    job = write_job(yard, f"python talk.py {count}", files=1)
    (yard.project.root / "src" / "talk.py").write_text(TALKER)
    return job


def peer(yard: Yard, count: int, port: int, wire: Wire) -> Found:
    """Have azure-ai-ml follow the same job on the cluster."""
    known = yard.outputs("local")
    cloud = launch.ensure(yard.project.emulator_home).environment()
    line = [sys.executable, "-c", PEER, known.resource_group, "research", str(port), str(wire.port), str(HERE)]
    with subprocess.Popen(
        line, env={**plain(), **cloud}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        told, said = process.stdin, process.stdout
        if told is None or said is None or said.readline() != "ready\n":
            sys.exit("azure-ai-ml did not start")
        run = submit(talker(yard, count), CLUSTER, stack=known, project=yard.project)
        before = wire.counts
        told.write(f"{run.id}\n")
        told.flush()
        late = json.loads(said.readline())
        moved = wire.counts.since(before)
    ended(run.wait(60))
    return Found(checked(late, count, "azure-ai-ml"), moved)


def measure(count: int) -> dict[str, Found]:
    """Return what each took, one after the other."""
    found = dict[str, Found]()
    with tempfile.TemporaryDirectory() as folder, clone(computes=COMPUTES) as yard:
        port = int(launch.ensure(yard.project.emulator_home).metadata_host.rpartition(":")[2])
        with through(port) as wire:
            found["azure-ai-ml"] = peer(yard, count, port, wire)
            redirect(port, wire.port)
            for target in (CLUSTER, INSTANCE):
                found[target] = ours(yard, target, count, wire)
            found["local"] = ours(yard, "local", count, None)
            os.environ["HOME"] = folder
            with machine_in(Path(folder) / "machine") as machine, through(machine.port) as way:
                found[MACHINE] = ours(yard, MACHINE, count, way, kit.outputs_of(machine, way.port).targets[MACHINE])
    return found


def main() -> int:
    """Measure, print, and tell whether the goal is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if kit.SSHD is None:
        sys.exit("sshd is needed (Debian: openssh-server)")
    found = measure(options.lines)
    if options.json:
        print(json.dumps({name: one.summary() for name, one in found.items()}, indent=1))
    else:
        its = found["azure-ai-ml"]
        print(f"log line to terminal, seconds of {options.lines} lines ({circumstances()})")
        for name, one in found.items():
            print(f"  {name:<12}{one.words()}   ({one.p95 / its.p95:.2f} of azure-ai-ml's p95)")
    return int(any(one.p95 > LINE_S for name, one in found.items() if name != "azure-ai-ml"))


if __name__ == "__main__":
    sys.exit(main())
