"""Submitting a job, from the start of a process to the accepted job, beside azure-ai-ml on the same emulator.

    python benchmarks/submit.py [--rounds 5] [--json]

Three processes take turns, each a whole one with its imports: the command as a user types it, the Python API, and
azure-ai-ml's `MLClient.jobs.create_or_update(load_job(...))`. All submit the same job file and code folder to the same
workspace, in which the code is there already (`unchanged`), or has one new line (`changed`). A submission counts until
its process prints the accepted job's name; a job ends before the next is submitted, so that it takes no time from it.
Exit code 1 when the command, with the code unchanged, takes more than a quarter of azure-ai-ml's time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from clone import circumstances, clone, plain, settle, write_job

from emulator import launch

if TYPE_CHECKING:
    from pathlib import Path

    from console.yard import Yard

GOAL = 0.25
API = """
import json
from trainyard import submit
run = submit("job.yml")
print(json.dumps({"id": run.id, "state": run.state}), flush=True)
"""
PEER = """
import json, os, socket, sys, warnings
warnings.simplefilter("ignore")
# Names below `localhost` as systemd-resolved and macOS resolve them; glibc alone doesn't.
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: real(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)
from azure.ai.ml import MLClient, load_job
from azure.identity import ClientSecretCredential
credential = ClientSecretCredential(
    *(os.environ[name] for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")),
    authority="https://" + os.environ["ARM_METADATA_HOSTNAME"], disable_instance_discovery=True)
client = MLClient(
    credential, os.environ["ARM_SUBSCRIPTION_ID"], sys.argv[1], sys.argv[2], enable_telemetry=False)
job = client.jobs.create_or_update(load_job("job.yml"))
print(json.dumps({"id": job.name, "state": job.status}), flush=True)
"""


def lines(yard: Yard) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return the command line and the environment of each."""
    group, workspace = yard.outputs("local").resource_group, "research"
    cloud = launch.ensure(yard.project.emulator_home).environment()
    return {
        "invoke submit": ([sys.executable, "-m", "invoke", "submit", "job.yml", "--detach", "--json"], plain()),
        "Python API": ([sys.executable, "-c", API], plain()),
        "azure-ai-ml": ([sys.executable, "-c", PEER, group, workspace], {**plain(), **cloud}),
    }


def once(root: Path, line: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Run one submission; return the seconds until it said the job's name, until it ended, and that name."""
    began = time.perf_counter()
    with subprocess.Popen(
        line, cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        out, err = process.stdout, process.stderr
        if out is None or err is None:
            sys.exit("no pipes")
        first = out.readline()
        accepted = time.perf_counter() - began
        said, trouble = first + out.read(), err.read()
        code = process.wait()
    ended = time.perf_counter() - began
    if code != 0:
        sys.exit(f"{line[:4]} failed:\n{said}{trouble}")
    return accepted, ended, str(json.loads(said)["id"])


def measure(yard: Yard, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of every submission, by case and way; one round before the first is not counted."""
    write_job(yard, "python -c pass")
    taken: dict[str, dict[str, list[float]]] = {}
    changing = yard.project.root / "src" / "module_0.py"
    ways = lines(yard)
    for number in range(rounds + 1):
        for case in ("unchanged", "changed"):
            # Who comes first waits longest for what the round before left to do.
            order = [*ways][number % len(ways) :] + [*ways][: number % len(ways)]
            for way in order:
                line, environment = ways[way]
                if case == "changed":
                    with changing.open("a") as file:
                        file.write(f"print({number}, {way!r})\n")
                accepted, ended, name = once(yard.project.root, line, environment)
                if number:
                    taken.setdefault(case, {one: [] for one in ways})[way].append(accepted)
                    taken.setdefault(f"{case}, process ended", {one: [] for one in ways})[way].append(ended)
                if (state := settle(yard, name)) != "Completed":
                    sys.exit(f"{name}, submitted by {way}, is {state}")
    return taken


def main() -> int:
    """Measure, print, and tell whether the goal is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with clone() as yard:
        taken = measure(yard, options.rounds)
    medians = {case: {way: statistics.median(values) for way, values in ways.items()} for case, ways in taken.items()}
    if options.json:
        print(json.dumps({"medians_s": medians, "all_s": taken}, indent=1))
    else:
        print(f"seconds from process start to accepted job, medians of {options.rounds} ({circumstances()})")
        for case, ways in medians.items():
            peer = ways["azure-ai-ml"]
            shown = "   ".join(f"{way} {value:.2f} ({value / peer:.2f})" for way, value in ways.items())
            print(f"  {case:<25}{shown}")
        least = {way: min(values) for way, values in taken["unchanged"].items()}
        shown = "   ".join(f"{way} {value:.2f} ({value / least['azure-ai-ml']:.2f})" for way, value in least.items())
        print(f"  {'unchanged, the quickest':<25}{shown}")
    unchanged = medians["unchanged"]
    return int(unchanged["invoke submit"] > GOAL * unchanged["azure-ai-ml"])


if __name__ == "__main__":
    sys.exit(main())
