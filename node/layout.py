"""Names of everything in a run's folder, and the only ways in which its small files are read and written.

A file here is replaced whole (temporary name, fsync, rename, fsync of the folder) or appended to; nobody sees half of
one. Folders are 0700 and files 0600 whatever the caller's umask. No other module spells a file name of a run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TypeAlias

    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

JOB = "job.json"
STATUS = "status.json"
HEARTBEAT = "heartbeat"
LOCK = "lock"
CANCEL = "cancel"
COMMAND = "command.sh"
RANK_SCRIPT = "rank.sh"
"""What mpirun starts for each process of an mpi job."""
FAILED_RANK = "failed_rank"
"""Number and exit code of the process of an mpi job that failed first."""
WORKERS_DONE = "workers_done"
"""Exists when the workers of this node have ended well, where parameter servers serve those of others too."""
CODE = "code"
USER_LOG = "user_logs/std_log.txt"
"""Of a job of one process; of several, each has its own (`rank_log`)."""
MPIRUN_LOG = "user_logs/std_log_mpirun.txt"
"""What mpirun itself says."""
LOG_FOLDERS = ("azureml-logs", "user_logs")
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
SUPERVISOR_LOG = "supervisor.log"
METRICS = "metrics.jsonl"
PARAMS = "params.json"
TAGS = "tags.json"
NESTED = "nested"
"""Below it, a folder per nested MLflow run, with the same three files."""
RESERVE = "reserve"
"""Blocks held back so that a final status can be written on a full disk."""
RESERVE_BYTES = 64 * 1024
COLLECTED = ("outputs", "logs")
"""Folders of the working directory that are a run's outputs, as in Azure."""


def workdir(run_dir: Path, code: str | None = CODE) -> Path:
    """Return the working directory of the command: the snapshot."""
    return run_dir / (code or CODE)


def outputs_dir(run_dir: Path, code: str | None = CODE) -> Path:
    """Return the folder whose content is the run's outputs (and MLflow's artifacts)."""
    return workdir(run_dir, code) / "outputs"


def rank_log(number: int, world_size: int, *, server: bool = False) -> str:
    """Return the name of a process's log, as Azure ML names it (azure-ai-ml, job_ops_helper: which it streams)."""
    if world_size == 1:
        return USER_LOG
    return f"user_logs/std_log_process_{number}{'_ps' if server else ''}.txt"


def fifo(log: str) -> str:
    """Return the name of what a process opens instead of a log; it is not listed as one itself."""
    return f".{log}.fifo"


def logs(run_dir: Path) -> list[str]:
    """Return the name of every log that is there now, `folder/name`: the build's first, then by process.

    Stable: a log that comes later changes the place of no other but those behind it.
    """
    found: list[str] = []
    for folder in LOG_FOLDERS:
        try:
            with os.scandir(run_dir / folder) as entries:
                names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        found += [f"{folder}/{name}" for name in sorted(names, key=_log_order) if not name.startswith(".")]
    return found


def _log_order(name: str) -> tuple[bool, list[tuple[int, str]]]:
    """Order logs by the numbers in their names (9 before 10); mpirun's own words come last."""
    import re  # not needed to start a run, which waits for this module

    parts = re.split(r"([0-9]+)", name)
    return name == MPIRUN_LOG.rpartition("/")[2], [(int(part) if part.isdecimal() else -1, part) for part in parts]


def private_dir(path: Path) -> Path:
    """Make a folder, and its missing parents, for the owner only; an existing one is left as it is."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
    return path


def create(run_dir: Path, job: Mapping[str, Json]) -> None:
    """Make the folder of a run (0700) and write its `job.json` (0600); durable on return, and safe to repeat."""
    private_dir(run_dir)
    run_dir.chmod(0o700)
    for parent in (USER_LOG, BUILD_LOG):
        private_dir((run_dir / parent).parent)
    write_json(run_dir / JOB, dict(job))


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file whole, readable by the owner only; durably, unless a power cut may bring the old one back.

    Raises: OSError; the old content is then still there, and no temporary file is left.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_dir(path.parent)


def write_json(path: Path, value: Json, *, durable: bool = True) -> None:
    """Replace a JSON file whole, and durably as `write_bytes`."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    write_bytes(path, text.encode("utf-8", "surrogatepass") + b"\n", durable=durable)


def write_all(fd: int, content: bytes) -> None:
    """Write every byte: one `write` may take only a part."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def reserve(run_dir: Path) -> None:
    """Hold back the blocks that a final status will need. Raises: OSError when there are none."""
    fd = os.open(run_dir / RESERVE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, b"\0" * RESERVE_BYTES)
    finally:
        os.close(fd)


def sync_dir(path: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_json(path: Path) -> dict[str, Json] | None:
    """Return the object in a JSON file, or None where there is no such file.

    Raises: ValueError when the file is there but holds something else.
    """
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        value: Json = json.loads(raw.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds {type(value).__name__}, not a JSON object")  # noqa: TRY004  (a bad file, not a bad call)
    return value


def note(text: str) -> None:
    """Write a line to `supervisor.log`, unless the disk is full."""
    try:
        sys.stderr.write(f"{utc_now()} {text}\n")
        sys.stderr.flush()
    except OSError:
        return


def utc_now() -> str:
    """Return the time for people, in ISO 8601 UTC with milliseconds; durations come from monotonic clocks."""
    return iso(time.time())


def iso(seconds: float) -> str:
    """Return seconds since the epoch in ISO 8601 UTC with milliseconds."""
    whole, part = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:03d}Z"
