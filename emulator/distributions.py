"""How a job is spread over its nodes: what the service checks of `distribution`, what each node's supervisor is told.

The nodes of an emulated cluster are folders on one machine, so each has the address 127.0.0.1, and they share a disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from emulator import ml
from emulator.routing import Refusal
from node import distribution as plans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from emulator.routing import Json

KINDS = {"Mpi": plans.MPI, "PyTorch": plans.PYTORCH, "TensorFlow": plans.TENSORFLOW}
"""DistributionType (azure-rest-api-specs, 2025-12-01) and the supervisor's words."""
RAY = "Ray"
"""Of the previews."""
MOST_MPI_NODES = 100
"""Nodes of one MPI run (azure-docs how-to-manage-quotas)."""


def check(given: Mapping[str, Json], nodes: int) -> None:
    """Check a job's distribution for so many nodes. Raises `Refusal` 400, or 501 for what is not played."""
    if not given:
        return
    kind = given.get("distributionType")
    if kind == RAY:
        raise Refusal(501, "NotImplemented", "A distribution of type 'Ray' is not played by this emulator.")
    if kind not in KINDS:
        raise _refuse(f"distribution.distributionType '{kind}' is not one of {', '.join((*KINDS, RAY))}.")
    if kind == "TensorFlow":
        _check_tensorflow(given, nodes)
    else:
        _whole(given, "processCountPerInstance", 1)
    if kind == "Mpi" and nodes > MOST_MPI_NODES:
        raise _refuse(f"An MPI job has at most {MOST_MPI_NODES} nodes; it asks for {nodes}.", "NodeCountExceeded")


def _check_tensorflow(given: Mapping[str, Json], nodes: int) -> None:
    """Every node needs a task; that one without is refused is ours, for no page says what becomes of it."""
    workers, servers = _whole(given, "workerCount", 1), _whole(given, "parameterServerCount", 0)
    workers = nodes if workers is None else workers
    if workers + (servers or 0) < nodes:
        text = f"distribution: {workers} workers and {servers or 0} parameter servers leave some of {nodes} nodes idle."
        raise _refuse(f"{text} Lower resources.instanceCount or raise distribution.workerCount.")


def _whole(given: Mapping[str, Json], name: str, least: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _refuse(f"distribution.{name} '{value}' must be a whole number from {least}.")
    return value


def _refuse(text: str, code: str = "UserError") -> Refusal:
    return Refusal(400, code, text)


def kind(given: Mapping[str, Json]) -> str:
    """Return the supervisor's word for a distribution; empty for none."""
    return KINDS.get(ml.text(given.get("distributionType")), "")


def describe(given: Mapping[str, Json], dirs: Sequence[Path]) -> list[dict[str, Json] | None]:
    """Return `distribution` of each node's `job.json`, with ports that are free now. Raises: OSError without any.

    None for a job that is one plain process.
    """
    nodes, found = len(dirs), kind(given)
    if nodes == 1 and not found:
        return [None]
    servers = cast("int", given.get("parameterServerCount") or 0)
    workers = cast("int", given.get("workerCount") or nodes)
    tasks = workers + servers if found == plans.TENSORFLOW else 0
    master, *ports = plans.free_ports(1 + tasks)
    shared: dict[str, Json] = {
        "kind": found or plans.NONE,
        "nodes": [plans.HERE] * nodes,
        "processes": -(-tasks // nodes) if tasks else cast("int", given.get("processCountPerInstance") or 1),
        "master_port": master,
    }
    if tasks:
        shared |= {"workers": workers, "parameter_servers": servers, "ports": [*ports]}
    if nodes > 1 and found in {plans.MPI, plans.TENSORFLOW}:
        shared["peers"] = [str(folder) for folder in dirs]
    return [{**shared, "node_rank": rank} for rank in range(nodes)]
