"""The one object that every handler gets: where things are kept, what time it is, how transitions run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.clusters import Clusters
    from emulator.collect import Uploaded
    from emulator.instances import Instances
    from emulator.ssh import Servers
    from emulator.state import State

Transitions: TypeAlias = Literal["immediate", "manual", "time"]


@dataclass(slots=True)
class Cloud:
    """Built once by the server. `home` is 0700; blobs, nodes and the database are below it."""

    home: Path
    state: State
    origin: str
    """`https://localhost:PORT`"""
    secret: bytes
    """Signs tokens, storage keys and shared access signatures; 32 random bytes, kept in a 0600 file."""
    environments: Path
    """The cache of built Python environments (the user's cache folder), shared with local runs."""
    transitions: Transitions = "immediate"
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    clusters: Clusters | None = None
    """Set by the server before the first request: runs jobs, scales nodes."""
    ssh: Servers | None = None
    """Set by the server likewise: the SSH servers of nodes, instances and virtual machines."""
    instances: Instances | None = None
    """Set by the server likewise: switches compute instances by their timetables and when they are idle."""
    uploaded: dict[str, Uploaded] = field(default_factory=dict)
    """What is known of the files of running jobs, by job id; only the thread that looks after them uses it."""
