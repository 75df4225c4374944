"""Run a job's command in a Docker container, as Azure ML does: that image, the run's folder mounted at its own path.

Values of variables reach the container on the standard input of `docker run`: they are on no command line, in no file,
and not in the container's description, which the engine keeps on disk. What a container leaves behind is found by a
label that holds the run's mark. Nothing here was tried against a real engine yet: the machine that this was written on
has none, so the tests' engine is a stand-in that records what it was told (docs/environments.md).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from node import environments, layout, processes
from node.environments import Recipe
from node.installers import EnvironmentRefused, Site, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

    from node.job import Job
    from node.layout import Json
    from node.plan import EnvironmentPlan, Image
    from node.starting import Start

ID = "docker:"
"""What the id of an environment begins with that is an image."""
LABEL = "trainyard.run"
TAG = "trainyard-environment"
PREFIX = "/azureml-envs/trainyard"
"""Where a conda file is built inside an image; Azure ML's own builds use a folder below the same one."""
_ANSWER_S = 5.0
_REMOVE_S = 10.0
_NOT_STARTED = 125
"""Exit code of `docker run` (docker run reference, Exit status)."""
_PASSED = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
"""Of what a job inherits from the machine, what holds inside a container too; the rest is the image's to say."""
_CONDA = f"""\
FROM {{image}}
USER root
COPY conda.yml /azureml-environment-setup/conda.yml
RUN command -v conda >/dev/null || {{{{ echo 'error: the image has no conda, and its conda_file needs one'; exit 1; }}}}
RUN conda env create -p {PREFIX} -f /azureml-environment-setup/conda.yml && conda clean -aqy
ENV PATH={PREFIX}/bin:$PATH CONDA_PREFIX={PREFIX} CONDA_DEFAULT_ENV={PREFIX}
ENV LD_LIBRARY_PATH={PREFIX}/lib${{{{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}}}
"""
"""As the Dockerfiles that Azure ML generates for an image with a conda file (the image build log of a job there)."""


@dataclass(frozen=True)
class Ready:
    """An image that is on this machine."""

    image: str
    cached: bool
    built_s: float
    key: str | None = None
    """Of one that was built here, its key in the cache."""


def find_client(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the Docker client on PATH; whether an engine is behind it is `answers`'s to say."""
    return shutil.which("docker", path=(os.environ if environ is None else environ).get("PATH"))


def answers(client: str) -> bool:
    """Tell whether an engine answers; the client says its own version also where there is none."""
    return bool(_ask([client, "version", "--format", "{{.Server.Version}}"]))


def _ask(argv: Sequence[str], timeout_s: float = _ANSWER_S) -> str | None:
    """Return what the client says; None when it fails or does not come back."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


# --- the image ---


def prepare(plan: EnvironmentPlan, cache: Path, log: BinaryIO, stop: Callable[[], bool]) -> Ready:
    """Pull the plan's image, or build its conda file inside it; the client's progress goes to the log.

    Raises: EnvironmentRefused, BuildStopped, OSError when the log can't be written.
    """
    image, client = plan.image, find_client()
    if image is None:
        raise ValueError("the plan has no image")
    if client is None:
        raise EnvironmentRefused(f"the environment is the image {image.name}, and this machine has no docker")
    if image.context is None and plan.conda is None:
        return _pull(client, image.name, Site(cache, log, stop))
    recipe = _recipe(client, image, plan.conda)
    built = environments.once(recipe, cache, log, stop)
    return Ready(_tag(recipe.key), built.cached, built.built_s, recipe.key)


def _pull(client: str, name: str, site: Site) -> Ready:
    layout.private_dir(site.folder)
    found = _ask([client, "image", "inspect", "--format", "{{.Id}}", name])
    if found:
        site.say(f"image {name}: here already, {found}")
        return Ready(name, cached=True, built_s=0.0)
    began = time.monotonic()
    site.say(f"image {name}: pulling it")
    run([client, "pull", name], site, os.environ, failure=f"image {name} could not be pulled")
    took = round(time.monotonic() - began, 3)
    pulled = _ask([client, "image", "inspect", "--format", "{{.Id}}", name])
    site.say(f"image {name}: pulled after {took:.1f} s, {pulled}")
    return Ready(name, cached=False, built_s=took)


def _recipe(client: str, image: Image, conda: str | None) -> Recipe:
    """Return how to build an image of our own: from a conda file inside another one, or from a context."""
    content = image.content or image.name
    key = environments.digest("docker", content, image.dockerfile, conda)

    def make(site: Site) -> dict[str, Json]:
        context, file = image.context, image.dockerfile
        if context is None:
            layout.write_bytes(site.folder / "conda.yml", (conda or "").encode())
            layout.write_bytes(site.folder / "Dockerfile", _CONDA.format(image=image.name).encode())
            context, file = str(site.folder), "Dockerfile"
        argv = [client, "build", "--tag", _tag(key), "--file", str(Path(context) / file), context]
        run(argv, site, {**os.environ, "BUILDKIT_PROGRESS": "plain"}, failure=f"image {image.name} could not be built")
        return {"kind": "image", "image": _tag(key), "from": image.name, "conda": conda}

    return Recipe(key, f"an image, from {image.name}", make, lambda _folder: _is_there(client, _tag(key)))


def _tag(key: str) -> str:
    return f"{TAG}:{key}"


def _is_there(client: str, name: str) -> bool:
    return _ask([client, "image", "inspect", "--format", "{{.Id}}", name]) is not None


def remove_image(name: str) -> None:
    """Remove an image that was built here. Raises: EnvironmentRefused when the engine won't."""
    client = find_client()
    # One that is gone already is no reason to refuse; nobody who could say so is.
    gone = client is not None and answers(client) and not _is_there(client, name)
    if client is None or (not gone and _ask([client, "image", "rm", name], _REMOVE_S) is None):
        raise EnvironmentRefused(f"image {name} can't be removed: the Docker engine does not answer, or it is in use")


# --- the container ---


@dataclass(frozen=True)
class Container:
    """The containers of one run: how its processes are started in them, and how they are ended."""

    client: str
    image: str
    plan: Image
    run_dir: Path
    job: Job
    mark: str
    root: bool
    """The engine maps its root to us (rootless mode), so that files of its root are ours."""

    def argv(self) -> list[str]:
        """Return `docker run` with everything but the command, which the script on its standard input holds."""
        plan = self.plan
        return [
            self.client, "run", "--rm", "--interactive", "--init", "--pull", "never", "--network", "host",
            "--label", f"{LABEL}={self.mark}", "--workdir", str(layout.workdir(self.run_dir, self.job.code)),
            # docker-init (tini) then hands a signal to the whole group of the command.
            "--env", "TINI_KILL_PROCESS_GROUP=1", "--ulimit", "core=0",
            *([] if self.root else ["--user", f"{os.getuid()}:{os.getgid()}"]),
            *[word for mount in self._mounts() for word in ("--mount", mount)],
            *(["--shm-size", plan.shm_size] if plan.shm_size else []),
            *(["--gpus", "all"] if plan.gpus else []),
            *self._processors(), *plan.docker_args,
            "--entrypoint", "/bin/sh", self.image, "-c", 'eval "$(cat)"',
        ]  # fmt: skip

    def _mounts(self) -> list[str]:
        """Return the run's folder, read-write, and what its inputs and outputs name elsewhere, each at its own path."""
        document = layout.read_json(self.run_dir / layout.JOB) or {}
        mounts = {str(self.run_dir): False}
        for key, read_only in (("inputs", True), ("outputs", False)):
            entries = document.get(key)
            for entry in entries.values() if isinstance(entries, dict) else ():
                given = entry.get("path") if isinstance(entry, dict) else None
                path = self.run_dir / given if isinstance(given, str) else self.run_dir
                if not path.is_relative_to(self.run_dir) and path.exists():
                    mounts.setdefault(str(path), read_only)
        return [mount(path, read_only=read_only) for path, read_only in mounts.items()]

    def _processors(self) -> list[str]:
        """Return as many processors as the job may use; which ones depends on the run (as in `node.tree`)."""
        mine, count = sorted(os.sched_getaffinity(0)), self.job.limits.cpus
        if count is None or count >= len(mine):
            return []
        first = zlib.crc32(self.job.run_id.encode()) % len(mine)
        return ["--cpuset-cpus", ",".join(map(str, [*mine[first:], *mine[:first]][:count]))]

    def starts(self, starts: Sequence[Start]) -> list[Start]:
        """Return what to start instead: each process in a container of its own, mpirun and its processes in one."""
        argv, environ = self.argv(), self.client_environment()
        return [
            one._replace(argv=argv, variables=environ, stdin=self.script(one.argv, one.variables)) for one in starts
        ]

    def script(self, command: Sequence[str], variables: Mapping[str, str]) -> bytes:
        """Return what the container's shell reads: the variables, then the command, by the image's own programs."""
        own = {"HOME": "/tmp", "USER": "job", "LOGNAME": "job", **self._own(variables)}  # noqa: S108  (in the container)
        lines = [
            *[f"export {name}={shlex.quote(value)}" for name, value in own.items()],
            "trainyard_shell=$(command -v bash || command -v sh)",
            f"exec {' '.join(_word(word) for word in command)} </dev/null",
        ]
        return os.fsencode("\n".join(lines) + "\n")

    def _own(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Leave out what the job inherits from this machine: PATH, HOME and the like are the image's."""
        given = {*self.job.variables, *self.job.extra_env, *_PASSED}
        return {key: value for key, value in variables.items() if key in given or os.environ.get(key) != value}

    def client_environment(self) -> dict[str, str]:
        """Return the environment of the client: the supervisor's, with the mark by which a left-over one is found."""
        mine = {key: value for key, value in os.environ.items() if key != processes.SUPERVISOR}
        return {**mine, processes.MARK: self.mark}

    def why(self, why: str, code: int) -> str:
        """Add to why a process failed what its code means with Docker."""
        return (
            f"{why}, Docker's own for a container that it could not start: see the log" if code == _NOT_STARTED else why
        )

    def remove(self) -> None:
        """End and remove the run's containers, whatever became of their clients. Idempotent."""
        remove(self.mark, self.client)


def container(plan: Image, image: str, run_dir: Path, job: Job, mark: str) -> Container:
    """Return the containers of a run. Raises: EnvironmentRefused where there is no client."""
    client = find_client()
    if client is None:
        raise EnvironmentRefused(f"the environment is the image {plan.name}, and this machine has no docker")
    options = _ask([client, "info", "--format", "{{json .SecurityOptions}}"]) or ""
    return Container(client, image, plan, run_dir, job, mark, "rootless" in options)


def _word(word: str) -> str:
    """Quote a word of a command; where it names this machine's shell or mpirun, the image's own is meant."""
    if word.startswith("/") and word.endswith("/bash"):
        return '"$trainyard_shell"'
    return "mpirun" if word.startswith("/") and word.endswith("/mpirun") else shlex.quote(word)


def mount(path: str, *, read_only: bool) -> str:
    """Return a bind mount at the same path; the client reads it as a line of CSV."""
    fields = ["type=bind", f"source={path}", f"target={path}", *(["readonly"] if read_only else [])]
    return ",".join(_csv(field) for field in fields)


def _csv(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if set(field) & set(',"\n\r') else field


def remove(mark: str, client: str | None = None) -> None:
    """Kill and remove every container of a run, by its mark. A dead engine has none that run."""
    docker = client or find_client()
    if docker is None:
        return
    found = _ask([docker, "ps", "--all", "--quiet", "--filter", f"label={LABEL}={mark}"])
    if found:
        _ask([docker, "rm", "--force", *found.split()], _REMOVE_S)
