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
Kind = Literal["AmlCompute", "ComputeInstance", "Local"]
"""Of targets that run jobs."""
Phase = Literal["intent", "sending", "acknowledged"]
"""How far the submission came: written down, about to be sent, accepted."""


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
    """The job file, as given."""
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
    metrics_final: bool = False
    """The metrics were read after the end."""
    cancel_requested: bool = False
    cancel_sent: bool = False
    attempt: int = 1

    @property
    def terminal(self) -> bool:
        """Whether the state can never change."""
        return self.state in TERMINAL
