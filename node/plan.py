"""What `job.json` says about the environment of a job, as the launcher decided it and the supervisor carries it out.

Deciding is `runtime.placing`'s; building is `node.environments`', running in a container `node.docker`'s.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.layout import Json


@dataclass(frozen=True)
class Image:
    """A Docker image that the command runs in."""

    name: str
    docker_args: tuple[str, ...] = ()
    """Further arguments of `docker run`, as the job file gives them."""
    shm_size: str | None = None
    """As `docker run --shm-size` takes it (`2g`); None: Docker's own default, 64 MiB."""
    gpus: bool = False
    """All of this machine's are given to the container."""
    context: str | None = None
    """Folder that the image is built from, instead of being pulled; `name` is then what it is called in messages."""
    dockerfile: str = "Dockerfile"
    """Relative to that folder."""
    content: str | None = None
    """Hash of that folder's content."""


@dataclass(frozen=True)
class EnvironmentPlan:
    """What the job runs in: the user's own interpreter, or what is built in a cache, and a container around it."""

    python: str | None = None
    pip: tuple[str, ...] = ()
    interpreter: str | None = None
    cache: str | None = None
    """Folder of built environments; a relative one begins at the run's folder, `~` is the home on the machine."""
    conda: str | None = None
    """Text of a conda file that the machine's own conda builds, or with `image` that one's; `python` and `pip` are
    then unused."""
    image: Image | None = None


def parse(entry: Mapping[str, Json]) -> EnvironmentPlan:
    """Check the object `environment`. Raises: ValueError naming the field."""
    cache, image = _text(entry, "cache"), entry.get("image")
    if image is not None and not isinstance(image, dict):
        raise ValueError("environment.image must be an object")
    return EnvironmentPlan(
        python=_text(entry, "python"),
        pip=_texts(entry, "pip", "requirements"),
        interpreter=_text(entry, "interpreter"),
        cache=None if cache is None else os.path.expanduser(cache),  # noqa: PTH111  (a path as text, kept as text)
        conda=_text(entry, "conda"),
        image=None if image is None else _image(image),
    )


def _image(entry: Mapping[str, Json]) -> Image:
    name, gpus = _text(entry, "name"), entry.get("gpus", False)
    if not name or name.startswith("-") or any(letter.isspace() for letter in name):
        raise ValueError("environment.image.name must be an image's name")
    if not isinstance(gpus, bool):
        raise ValueError("environment.image.gpus must be true or false")  # noqa: TRY004  (a bad document, not a bad call)
    return Image(
        name,
        _texts(entry, "docker_args", "arguments"),
        _text(entry, "shm_size"),
        gpus,
        _text(entry, "context"),
        _text(entry, "dockerfile") or "Dockerfile",
        _text(entry, "content"),
    )


def _text(entry: Mapping[str, Json], key: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"environment.{key} must be text")
    return value


def _texts(entry: Mapping[str, Json], key: str, what: str) -> tuple[str, ...]:
    value = entry.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"environment.{key} must be a list of {what}")
    return tuple(str(item) for item in value)
