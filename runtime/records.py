"""What is kept about a run: one immutable record, the same in the store's database and in the run's own `run.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal[
    "NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing", "CancelRequested",
    "Completed", "Failed", "Canceled", "NotResponding", "Paused", "Unknown",
]  # fmt: skip
"""Azure's job states (JobStatus, 2025-12-01). NotResponding is not an end."""
STATES: frozenset[str] = frozenset(State.__args__)  # type: ignore[attr-defined]  # a Literal's members
TERMINAL: frozenset[str] = frozenset({"Completed", "Failed", "Canceled"})
Kind = Literal["AmlCompute", "ComputeInstance", "VirtualMachine", "Local"]
"""Of targets that run jobs."""
Phase = Literal["intent", "sending", "acknowledged"]
"""How far the submission came: written down, about to be sent, accepted."""


Retry = Literal["preemption", "none"]
"""What is done again for the user: nothing, or what a preemption ended."""

Fidelity = Literal["exact", "translated", "substituted", "user-managed"]
"""`exact`: that image, that conda file; `translated`: a conda file's Python part in a virtual environment;
`substituted`: a stand-in by the shipped table; `user-managed`: an interpreter that is taken as it is."""


class Attempt(BaseModel):
    """An attempt that was not the last: a preemption ended it, which is no failure of the job."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    job: str
    """Name of its job in the workspace."""
    reason: str
    started: str | None = None
    ended: str | None = None


class Machine(BaseModel):
    """Where a run on a machine reached by SSH is: enough to find it again from anywhere. Holds no secret."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    compute_id: str
    """ARM id of the attached compute: who may read it may ask for its credentials."""
    address: str
    ssh_port: int
    username: str
    host_key: str
    """The pinned public key, one OpenSSH line."""
    folder: str
    """The run's folder on that machine, absolute."""


class Record(BaseModel):
    """A run as this machine knows it. What a workspace runs: intent and cache. Local: the record."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    kind: Kind
    target: str
    experiment: str
    state: State = "NotStarted"
    phase: Phase = "intent"
    token: str
    """Random; travels with the job, so that a job of the same name is known to be this run's."""
    created: str
    """ISO 8601, UTC; so are the other moments."""
    stack: str | None = None
    cloud: Literal["azure", "emulator"] | None = None
    workspace_id: str | None = None
    job: str | None = None
    """The job file, as given (an absolute path where it is one)."""
    display_name: str | None = None
    snapshot: str | None = None
    """Id of the code that was sent."""
    environment: str | None = None
    """What the environment is, and how true to the job file."""
    sent: str | None = None
    nodes_before: int | None = None
    """Nodes of the cluster when the job was sent."""
    started: str | None = None
    ended: str | None = None
    duration_s: float | None = None
    exit_code: int | None = None
    lost: bool = False
    """When last asked, its workspace did not know it (any more)."""
    reason: str | None = None
    """Why the state is what it is, where that needs words."""
    metrics: dict[str, float] = {}
    """Last value by name."""
    params: dict[str, str] = {}
    """What the job logged as MLflow parameters; read once it has ended."""
    metrics_final: bool = False
    """The metrics and params were read after the end."""
    cancel_requested: bool = False
    cancel_sent: bool = False
    attempt: int = 1
    """The current one, from 1."""
    attempts: tuple[Attempt, ...] = ()
    """Those before it."""
    retry: Retry = "none"
    retried_from: str | None = None
    """The run that this one repeats."""
    git: dict[str, str] = {}
    """Where the code comes from, under the names that Azure ML keeps it by (runtime/git.py)."""
    parameters: dict[str, str] = {}
    """The inputs that are values."""
    secrets: tuple[str, ...] = ()
    """Names of the variables whose values were given at the submission and kept nowhere."""
    allow_secrets: tuple[str, ...] = ()
    """What looked like a secret in the job's file or code, and was allowed by name."""
    fidelity: Fidelity | None = None
    """How true the environment is to the job file; None where the service builds it."""
    machine: Machine | None = None
    """Of a run on a VirtualMachine."""

    @property
    def all_parameters(self) -> dict[str, str]:
        """The inputs that are values, and what the job logged of its own."""
        return {**self.params, **self.parameters}

    @property
    def job_name(self) -> str:
        """The name of the current attempt's job in the workspace."""
        return attempt_name(self.id, self.attempt)

    @property
    def terminal(self) -> bool:
        """Whether the state can never change."""
        return self.state in TERMINAL


def attempt_name(run_id: str, attempt: int) -> str:
    """Return the name of an attempt's job: the run's id, from the second on with a number, as jobs are immutable."""
    return run_id if attempt == 1 else f"{run_id}-attempt-{attempt}"
