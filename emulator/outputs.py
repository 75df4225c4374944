"""A job's named outputs on its nodes: where they are, what is there before the command starts, what the command reads.

Modes as in Azure (azure-docs how-to-read-write-data-v2): `ReadWriteMount` (the default) shows what is at the address
already, `Upload` starts empty and is stored at the end alone, `Direct` gives the address as text. The command gets the
path of a file for an output of type uri_file, else of a folder.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from emulator import inputs, ml, uris
from emulator.routing import Refusal
from node import layout
from node.command import OUTPUT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.ml import Workspace
    from emulator.routing import Json

FOLDER = "named"
FILE = "uri_file"
MODES = ("ReadWriteMount", "Upload", "Direct")
"""OutputDeliveryMode (azure-rest-api-specs, 2025-12-01)."""
ALIAS = "trainyard-output."
"""Starts the name under which the supervisor gets an output that is not a folder."""


def stored(job: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    """Return the outputs that the user declared (all but the service's own `default`) and that have files."""
    return {name: output for name, output in _declared(job).items() if output.get("mode") != "Direct"}


def _declared(job: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    return {name: ml.obj(output) for name, output in ml.obj(job.get("outputs")).items() if name != "default"}


def path(run_dir: Path, name: str, output: Mapping[str, Json]) -> Path:
    """Return where an output is in a run's folder."""
    folder = run_dir / FOLDER / name
    leaf = PurePosixPath(ml.text(output.get("uri"))).name
    return folder / (leaf or name) if output.get("jobOutputType") == FILE else folder


def place(cloud: Cloud, workspace: Workspace, job: Mapping[str, Json], dirs: Sequence[Path]) -> None:
    """Bring what is at the outputs' addresses to the nodes, where the mode shows it. Raises `Refusal`."""
    for name, output in stored(job).items():
        for run_dir in dirs:
            layout.private_dir(run_dir / FOLDER / name)
            if output.get("mode") == "Upload" or not ml.text(output.get("uri")):
                continue
            where, prefix = uris.resolve(cloud, workspace, ml.text(output["uri"]))
            target = path(run_dir, name, output)
            inputs.copy(cloud, where, prefix, target.parent if output.get("jobOutputType") == FILE else target)


def folders(job: Mapping[str, Json]) -> dict[str, Json]:
    """Return `outputs` of `job.json`."""
    return {
        name: {"path": f"{FOLDER}/{name}"}
        for name, output in stored(job).items()
        if output.get("jobOutputType") != FILE
    }


def texts(job: Mapping[str, Json], run_dir: Path) -> dict[str, str]:
    """Return what the command shall read for the outputs that are no folders, by the output's name."""
    return {
        name: ml.text(output.get("uri")) if output.get("mode") == "Direct" else str(path(run_dir, name, output))
        for name, output in _declared(job).items()
        if output.get("mode") == "Direct" or output.get("jobOutputType") == FILE
    }


def aliased(command: str, names: Mapping[str, str]) -> str:
    """Return the command with outputs that are no folders named as the inputs that the supervisor has them as."""
    for name in names:
        found = re.compile(rf"\$\{{\{{\s*outputs\.{re.escape(name)}\s*\}}\}}")
        command = found.sub(f"${{{{inputs.{ALIAS}{name}}}}}", command)
    return command


def aliases(names: Mapping[str, str]) -> dict[str, Json]:
    """Return those outputs as inputs of `job.json`."""
    return {f"{ALIAS}{name}": {"value": text} for name, text in names.items()}


def variables(names: Mapping[str, str]) -> dict[str, str]:
    """Return the variables under which Azure's runtime hands a job its outputs, for those that are no folders."""
    return {OUTPUT_PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", name): text for name, text in names.items()}


def check(name: str, output: Mapping[str, Json]) -> None:
    """Check an output's mode. Raises `Refusal` 400."""
    mode = output.get("mode")
    if mode is not None and mode not in MODES:
        raise Refusal(400, "UserError", f"outputs.{name}: mode '{mode}' is not one of {', '.join(MODES)}.")
    if mode == "Direct" and not ml.text(output.get("uri")):
        raise Refusal(400, "UserError", f"outputs.{name}: mode Direct needs the property 'uri'.")
