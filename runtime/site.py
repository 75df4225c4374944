"""What every operation on a run needs at hand, and the words that the submitters of all kinds share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from runtime.clock import SYSTEM
from runtime.control_plane import ControlPlane, connect
from runtime.errors import TargetError
from runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runtime.clock import Clock
    from runtime.events import OnEvent
    from runtime.hosts import Host
    from runtime.jobfile import JobFile
    from runtime.project import Project
    from runtime.records import Record, State
    from runtime.snapshot import Snapshot
    from specs.targets import Target


@dataclass(frozen=True, slots=True)
class Site:
    """A project with its store, the time, and the control planes that were needed so far."""

    project: Project
    store: Store
    clock: Clock = SYSTEM
    planes: dict[str, ControlPlane] = field(default_factory=dict)
    """By cloud; tests put theirs here."""
    bases: dict[str, str] = field(default_factory=dict)
    """Address of the run history service by workspace, once asked."""
    hosts: dict[str, Host] = field(default_factory=dict)
    """By login: the machines that runs are on, each with its one SSH connection. `runtime.hosts.close` ends them."""

    def plane(self, record: Record) -> ControlPlane:
        """Return the control plane that a run belongs to. Raises when it can't be found from here."""
        if record.cloud is None:
            raise TargetError(f"{record.id} ran on this machine only; no workspace knows it")
        return self.cloud(record.cloud)

    def cloud(self, cloud: str) -> ControlPlane:
        """Return the control plane of a cloud; nothing is sent."""
        if cloud not in self.planes:
            self.planes[cloud] = connect(cloud, self.project, self.clock)
        return self.planes[cloud]


def open_site(project: Project, clock: Clock = SYSTEM) -> Site:
    """Open a project's runs."""
    return Site(project, Store(project), clock)


@dataclass(frozen=True, slots=True)
class Options:
    """What a submission is asked for beyond what the job's file says."""

    exact: bool = False
    """Refuse an environment that is not the very one of the job: neither translated nor substituted."""
    attempt: int = 1
    """Which execution of the run this is, from 1."""
    restore: str | None = None
    """Where the outputs of the attempt before are, for one that goes on from them."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of the job whose values are written nowhere."""
    allow_secrets: tuple[str, ...] = ()
    """Files of the snapshot and fields of the job's file that may go although they look like secrets."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A run whose intent is written down, and all that its submitter needs."""

    record: Record
    source: JobFile
    target: Target
    snapshot: Snapshot | None
    on_event: OnEvent
    options: Options = Options()
    git: Callable[[], dict[str, str]] = dict
    """Waits for what git says of the code (runtime/git.py)."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the truth about a run says right now."""

    state: State
    reason: str | None = None
    started: str | None = None
    ended: str | None = None
    duration_s: float | None = None
    exit_code: int | None = None
    phase: str = "acknowledged"
    logs: Mapping[str, str] = field(default_factory=dict)
    """Address by name of each log that can be read now, in the order to show them."""
    notes: tuple[str, ...] = ()
    """What the service warns of."""
    lost: bool = False
    """Nobody knows the run any more: waiting for its end is in vain."""
    preempted: bool = False
    """It failed because its node was taken away, which is no failure of the job."""


class RunFile(NamedTuple):
    """A file that a run left: its name (`outputs/model.pkl`), its size in bytes, its content when asked."""

    name: str
    size: int
    read: Callable[[], Iterator[bytes]]
    version: str = ""
    """Another one for another content; empty where that can't be known without reading."""


class Point(NamedTuple):
    """One logged value of a metric. `timestamp` is in milliseconds since the epoch."""

    value: float
    step: int
    timestamp: int


Metrics: TypeAlias = dict[str, float]


class Submitter(Protocol):
    """What each kind of target can do for a run; its module has these functions. All but `launch` may be repeated."""

    def check(self, source: JobFile, target: Target, project: Project, options: Options) -> None:
        """Find what is wrong with a job for this target, before anything is written. Raises `SpecError`."""
        ...

    def launch(self, site: Site, submission: Submission) -> None:
        """Bring the run to its target: idempotent side effects, `sending` and `acknowledged` written down."""
        ...

    def look(self, site: Site, record: Record) -> Look:
        """Ask the truth. Raises `ConnectionLostError`, `RefusedError`."""
        ...

    def metrics(self, site: Site, record: Record) -> Metrics:
        """Return the last value of each metric."""
        ...

    def params(self, site: Site, record: Record) -> dict[str, str]:
        """Return the MLflow parameters that the job logged."""
        ...

    def history(self, site: Site, record: Record, key: str) -> list[Point]:
        """Return every value of one metric, in the order of logging."""
        ...

    def read_log(self, site: Site, record: Record, address: str, offset: int) -> bytes:
        """Return what a log holds from an offset on; empty when nothing new is there."""
        ...

    def nodes(self, site: Site, record: Record) -> int | None:
        """Return how many nodes the target has right now; None where nodes don't come and go."""
        ...

    def cancel(self, site: Site, record: Record) -> None:
        """Ask for the end."""
        ...

    def files(self, site: Site, record: Record) -> list[RunFile]:
        """List what the run left: outputs and logs."""
        ...
