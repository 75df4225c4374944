"""What a machine can do for an environment beyond building a virtual environment, which any can; and asking this one.

Nothing is asked that the job at hand has no use for, and a Docker client, which takes tens of milliseconds to say
whether an engine is behind it, is asked once in a while only.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node import docker, environments, layout, preflight
from runtime.project import cache_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runtime.jobfile import JobFile

KNOWN = "docker-engine.json"
"""In the user's cache: what the client said last."""
BELIEVED_S = {True: 300.0, False: 60.0}
"""How long an answer is believed. Where an engine stopped since, Docker itself says so as the run's reason."""
_SETTINGS = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "HOME")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What is installed on a machine, as far as environments go."""

    docker: bool = False
    """A Docker engine answers there; a client alone is no engine."""
    conda: str | None = None
    """The path of its mamba, micromamba or conda."""
    gpus: int = 0
    here: bool = True
    """It is the machine that submits: what else it has can be looked up."""
    python: str | None = None
    """Version of another machine's Python, where it is known."""


PLAIN = Abilities()
"""A machine with Python and nothing more."""


def probe_here(source: JobFile | None = None, *, fresh: bool = False) -> Abilities:
    """Return what this machine can do for a job (absent: for any). `fresh`: believe no earlier answer that was no."""
    wanted = source is None or _has_image(source)
    return Abilities(docker=wanted and _docker(fresh=fresh), conda=environments.find_conda(), gpus=preflight.gpus())


def _has_image(source: JobFile) -> bool:
    given = source.job.environment
    return isinstance(given, str) or given.image is not None or given.build is not None


def _docker(*, fresh: bool) -> bool:
    client = docker.find_client()
    if client is None:
        return False
    question = [client, *(os.environ.get(name) for name in _SETTINGS)]
    path = cache_folder() / KNOWN
    known = _remembered(path, question)
    if known or (known is False and not fresh):
        return known
    answer = docker.answers(client)
    with contextlib.suppress(OSError):  # where nothing can be kept, it is asked again the next time
        layout.private_dir(path.parent)
        layout.write_json(path, {"question": [*question], "answer": answer})
    return answer


def _remembered(path: Path, question: Sequence[str | None]) -> bool | None:
    """Return the answer to this very question, while it is to be believed."""
    try:
        kept, age = json.loads(path.read_bytes()), time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("question") != [*question]:
        return None
    answer = kept.get("answer") is True
    return answer if 0 <= age < BELIEVED_S[answer] else None
