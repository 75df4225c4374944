"""What is started for a job on this node: its one command. Of a job of several processes `node.ranks` knows which.

A job's command is read by a shell once, from `command.sh`. Nothing else that a user wrote is: arguments are lists, and
variables go to the processes as they are.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

from node import layout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from node.distribution import Rank
    from node.job import Job
    from node.tree import Tree

_LIMITED = 'ulimit -v "$1" && shift && exec "$@"'
"""A shell sets the limit of memory and becomes the command: Python could do it only between fork and exec, which is
not safe beside the heartbeat's thread (subprocess, preexec_fn)."""
_KIB = 1024


class Start(NamedTuple):
    """One process that the supervisor starts."""

    argv: list[str]
    log: str
    variables: Mapping[str, str]
    rank: Rank | None = None
    """None: the only one, or mpirun."""
    stdin: bytes | None = None
    """What it reads on its standard input."""
    opens: tuple[str, ...] = ()
    """Logs that its processes open by themselves: where secrets are masked, they open `layout.fifo` instead."""

    @property
    def server(self) -> bool:
        """Whether the job is over without it: a parameter server serves for ever."""
        return self.rank is not None and self.rank.serves


def starts(run_dir: Path, job: Job, variables: Mapping[str, str], *, inside: bool = False) -> list[Start]:
    """Return what to start on this node. Raises: OSError, ValueError.

    `inside` a container the programs are its own, so that mpirun is not looked for on this machine.
    """
    argv = limited([_shell(variables), str(run_dir / layout.COMMAND)], job)
    if job.distribution is None:
        return [Start(argv, layout.USER_LOG, variables)]
    from node import ranks

    return ranks.starts(run_dir, job, Start(argv, layout.USER_LOG, variables), inside=inside)


def limited(argv: list[str], job: Job) -> list[str]:
    """Return what starts a command within the job's limit of memory."""
    memory = job.limits.memory_bytes
    if memory is None:
        return argv
    return ["/bin/sh", "-c", _LIMITED, "sh", str(max(1, memory // _KIB)), *argv]


def _shell(variables: Mapping[str, str]) -> str:
    return shutil.which("bash", path=variables.get("PATH")) or "/bin/sh"


def places(run_dir: Path, job: Job) -> list[tuple[Path, Job]]:
    """Return the folder of the run, and the job as it is there, on each node whose processes this node starts."""
    if job.distribution is None:
        return [(run_dir, job)]
    from node import ranks

    return [(folder, ranks.job_at(run_dir, folder, job)) for folder in ranks.folders(run_dir, job.distribution)]


def is_over(run_dir: Path, job: Job, running: Tree) -> bool:
    """Tell whether nothing is to be waited for: a process failed, or all ended that don't serve those elsewhere."""
    if job.distribution is None or running.exit_code != 0:
        return running.exit_code is not None
    from node import ranks

    return ranks.released(run_dir, job.distribution, serving=running.serving, worked=running.worked)


def why(run_dir: Path, job: Job, running: Tree) -> str:
    """Say how a job failed: which of its processes, and how that one ended."""
    if running.failed is None:
        return "nothing failed"
    ending = ended(running.failed.exit_code or 0, running.failed.signal_name)
    if job.distribution is None:
        return f"the command {ending}"
    from node import ranks

    return ranks.why(run_dir, job.distribution, running.failed.start.rank, ending)


def ended(code: int, signal_name: str | None) -> str:
    """Say how a process ended."""
    return f"was ended by signal {signal_name}" if signal_name else f"exited with code {code}"
