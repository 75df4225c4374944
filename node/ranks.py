"""The processes of a job that has several: pytorch's and tensorflow's are started one by one, mpi's by mpirun.

The script that mpirun starts for each holds only names and paths that we quote; the command is in `command.sh` as ever.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from node import command, distribution, layout, processes, starting
from node import job as jobs
from node.starting import Start, ended

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.distribution import Distribution, Rank
    from node.job import Job

_OWN = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "WORLD_SIZE", "TF_CONFIG")
"""Variables that the launcher decides, whatever the job says; where the others meet, a job may say itself."""
_OPEN_MPI = {
    # As root, which a container's user often is, and more processes than processors: a laptop stands for a cluster.
    **{f"{name}_ALLOW_RUN_AS_ROOT{more}": "1" for name in ("OMPI", "PRTE") for more in ("", "_CONFIRM")},
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    # One machine: its processes meet on the loopback, which is there in a container without a network too.
    "OMPI_MCA_oob_tcp_if_include": "lo",
    "OMPI_MCA_btl_tcp_if_include": "lo",
    # Copying from another process's memory needs a right that containers lack; every failed try would be told.
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}
"""What Open MPI 4 (OMPI_) and 5 (PRTE_) need, as variables: other mpiruns don't read them, and need none of it. Only
version 4 was tried."""
_KILLED = re.compile(rb"process rank (\d+) with PID \d+ on node \S+ exited on signal (\d+)")
_EXITED = re.compile(rb"Process name: \[\[\d+,\d+\],(\d+)\]\s+Exit code:\s+(\d+)")
"""How Open MPI 4 names the process that ended a job."""

_SCRIPT = """# Started by mpirun for each process: says who it is, opens its log, runs the command in its node's folder.
rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-}}}
case $rank in
@RANKS@
*) echo "mpirun gave a process the rank '$rank', which this job has not" >&2; exit 1;;
esac
exec >>"$log" 2>&1 || exit 1
cd "$work" || exit 1
told=
trap 'told=1' TERM
@COMMAND@
code=$?
# The first one to fail is the reason; those that mpirun then ends are not.
if [ "$code" -ne 0 ] && [ -z "$told" ]; then
  set -C
  { echo "$rank $code" > @FAILED@; } 2>/dev/null
fi
exit "$code"
"""


def starts(run_dir: Path, job: Job, one: Start, *, inside: bool) -> list[Start]:
    """Return what to start on this node; writes the script of an mpi job. Raises: OSError, ValueError.

    `one`: the start of the command, were it alone.
    """
    if job.distribution is None:
        return [one]
    spread = job.distribution.with_ports()
    if spread.kind == distribution.MPI:
        return [_mpirun(run_dir, replace(job, distribution=spread), spread, one, inside=inside)]
    return [
        one._replace(log=log_of(spread, rank), variables=told(job, one.variables, spread.variables(rank)), rank=rank)
        for rank in spread.mine()
    ]


def log_of(spread: Distribution, rank: Rank) -> str:
    """Return the name of a process's log."""
    return layout.rank_log(rank.number, spread.world_size, server=rank.serves)


def told(job: Job, variables: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return a process's environment: where the others are is a default, who it is is not."""
    mine = {name: value for name, value in more.items() if name in _OWN or name not in job.variables}
    return {**variables, **mine}


def _mpirun(run_dir: Path, job: Job, spread: Distribution, one: Start, *, inside: bool) -> Start:
    """Return the start of all processes of an mpi job, those of the other nodes too: they are on this machine."""
    variables = one.variables
    mpirun = "mpirun" if inside else shutil.which("mpirun", path=variables.get("PATH")) or shutil.which("mpirun")
    if mpirun is None:
        raise ValueError(
            "the job's distribution is mpi, and there is no mpirun on this machine. "
            "Install one (apt install openmpi-bin), or one in the job's environment (conda: openmpi)"
        )
    opens = tuple(log_of(spread, rank) for rank in spread.all()) if job.secrets else ()
    script = run_dir / layout.RANK_SCRIPT
    layout.write_bytes(script, os.fsencode(rank_script(run_dir, job, spread)), durable=False)
    shared = told(job, variables, spread.variables(spread.rank(0)))
    defaults = {name: value for name, value in _OPEN_MPI.items() if name not in variables}
    argv = [mpirun, "-n", str(spread.world_size), "/bin/sh", str(script)]
    return Start(argv, layout.MPIRUN_LOG, {**defaults, **shared}, opens=opens)


def rank_script(run_dir: Path, job: Job, spread: Distribution) -> str:
    """Return the script that mpirun starts per process."""
    shell = " ".join([*map(shlex.quote, starting.limited([], job)), '"$(command -v bash || command -v sh)"'])
    nodes = [beside(run_dir, folder, job) for folder in folders(run_dir, spread)]
    texts = {
        "RANKS": "\n".join(_case(spread, rank, nodes[rank.node], _log(job, spread, rank)) for rank in spread.all()),
        "COMMAND": f"{shell} {shlex.quote(str(run_dir / layout.COMMAND))}",
        "FAILED": shlex.quote(str(run_dir / layout.FAILED_RANK)),
    }
    return re.sub(r"@([A-Z]+)@", lambda found: texts[found.group(1)], _SCRIPT)


def folders(run_dir: Path, spread: Distribution) -> list[Path]:
    """Return the folders of the run on the nodes whose processes this node starts."""
    peers = spread.peers if spread.kind == distribution.MPI else ()
    return [Path(peer) for peer in peers] or [run_dir]


class Beside(NamedTuple):
    """A node whose processes another one starts."""

    folder: Path
    work: Path
    bound: Mapping[str, str]
    """Inputs and outputs that are elsewhere than on the node that starts them."""


def beside(run_dir: Path, folder: Path, job: Job) -> Beside:
    """Return a node's folders, and what is elsewhere there."""
    its = job_at(run_dir, folder, job)
    here = command.render(job.command, job.inputs, job.outputs)[1]
    there = command.render(its.command, its.inputs, its.outputs)[1]
    elsewhere = {name: value for name, value in there.items() if here.get(name) != value}
    return Beside(folder, layout.workdir(folder, its.code), elsewhere)


def job_at(run_dir: Path, folder: Path, job: Job) -> Job:
    """Return the job as it is on a node: by that one's own `job.json`, else by this one's, read as if it were there."""
    if folder == run_dir:
        return job
    return jobs.parse(layout.read_json(folder / layout.JOB) or layout.read_json(run_dir / layout.JOB) or {}, folder)


def _log(job: Job, spread: Distribution, rank: Rank) -> str:
    """Return what a process writes into: its log, or what stands in for it where the job has secrets."""
    folder, _, name = log_of(spread, rank).rpartition("/")
    return f"{folder}/{layout.fifo(name) if job.secrets else name}"


def _case(spread: Distribution, rank: Rank, node: Beside, into: str) -> str:
    """Return the line of one process: who it is, and its node's folders."""
    values = {name: value for name, value in spread.variables(rank).items() if name in _OWN}
    values.update(node.bound)
    if spread.peers:
        # All nodes are one machine to mpirun; libmpi itself does not read these.
        values |= {"OMPI_COMM_WORLD_LOCAL_RANK": str(rank.local), "OMPI_COMM_WORLD_NODE_RANK": str(rank.local)}
        values["OMPI_COMM_WORLD_LOCAL_SIZE"] = values["LOCAL_WORLD_SIZE"]
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    log = shlex.quote(str(node.folder / into))
    return f"{rank.number}) export {exports}; log={log} work={shlex.quote(str(node.work))};;"


def released(run_dir: Path, spread: Distribution, *, serving: bool, worked: bool) -> bool:
    """Tell whether this node is done once its own workers are: parameter servers serve those of other nodes too.

    Nodes that share a disk tell each other by a file. Without, servers end with the workers of their own node.
    """
    if not spread.parameter_servers:
        return True
    if not spread.peers:
        return worked or not serving
    (run_dir / layout.WORKERS_DONE).touch(mode=0o600)
    busy = {rank.node for rank in spread.all() if rank.role == distribution.WORKER}
    return not serving or all((Path(spread.peers[node]) / layout.WORKERS_DONE).exists() for node in busy)


def why(run_dir: Path, spread: Distribution, rank: Rank | None, ending: str) -> str:
    """Say which process failed, and how it ended; `rank` is None for mpirun, which tells who it was."""
    if rank is None:
        found = culprit(run_dir)
        if found is None:
            return f"mpirun {ending}; what it said is in {layout.MPIRUN_LOG}"
        rank, ending = spread.rank(found[0]), found[1]
    if spread.world_size == 1:
        return f"the command {ending}"
    who = f"rank {rank.number}"
    if spread.kind == distribution.TENSORFLOW:
        who = f"{'parameter server' if rank.serves else 'worker'} {rank.place} ({who})"
    return f"{who} {ending}; see {log_of(spread, rank)}"


def culprit(run_dir: Path) -> tuple[int, str] | None:
    """Return the rank of the process that ended an mpi job and how it ended: by its own word, else by mpirun's."""
    try:
        number, code = (run_dir / layout.FAILED_RANK).read_text(encoding="ascii").split()
        return int(number), ended(int(code), None)
    except (OSError, ValueError):
        pass  # it was killed before it could say so
    try:
        said = (run_dir / layout.MPIRUN_LOG).read_bytes()
    except OSError:
        return None
    for pattern in (_KILLED, _EXITED):
        found = pattern.search(said)
        if found:
            told = int(found.group(2))
            return int(found.group(1)), ended(told, processes.signal_name(told) if pattern is _KILLED else None)
    return None
