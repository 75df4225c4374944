"""A deployment as a web service of this machine, with Azure ML's own inference server under the node supervisor.

It outlives the client. The one that answered before goes on until the new one's `init()` is through, and stays when
that fails. Layout of the run folder beside the usual: `serve.py`, and the model below `azureml-models/NAME/VERSION`.
"""

from __future__ import annotations

import http.client
import re
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from node import control, launch, layout, reading
from runtime import services, snapshot
from runtime.clock import SYSTEM, stamp
from runtime.deployers import serve
from runtime.errors import RefusedError
from runtime.project import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.clock import Clock
    from runtime.environments import Resolution
    from runtime.services import Service
    from runtime.snapshot import Snapshot
    from specs.endpoint import OnlineDeployment

SERVER = "azureml-inference-server-http"
MODELS = "azureml-models"
_START_S = 120.0
_POLL_S = 0.05
_GRACE_S = 10.0
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that was checked and resolved before anything is started."""

    spec: OnlineDeployment
    code: Snapshot
    environment: Resolution
    model: str
    """What it is called in listings, e.g. `digits:3`."""
    model_dir: Path
    """Below the run folder; the script's AZUREML_MODEL_DIR."""


def with_server(resolution: Resolution) -> Resolution:
    """Add the inference server to an environment that lacks it, and say so (in Azure the image brings it)."""
    names = {found.group().lower().replace("_", "-") for item in resolution.pip if (found := _NAME.match(item))}
    if SERVER in names:
        return resolution
    note = f"{SERVER} is not in the environment's list and was added: in Azure the image brings it."
    return replace(resolution, pip=(*resolution.pip, SERVER), notes=(*resolution.notes, note))


def start(
    home: Path, run_dir: Path, deployment: Deployment, say: Callable[[str], None], clock: Clock = SYSTEM
) -> Service:
    """Start a deployment, wait until it answers, let it take the endpoint over, and stop the one before.

    The caller holds the endpoint's lock. Raises: RefusedError with the log's end; the one before then still answers.
    """
    before, port = services.read(home), services.port_for(home)
    if before and before.port != port:
        say(f"port {before.port} is taken by another program; the endpoint moves to {port}")
    snapshot.copy(deployment.code, layout.workdir(run_dir))
    shutil.copyfile(serve.__file__, run_dir / "serve.py")
    layout.create(run_dir, _job(run_dir, deployment, port))
    try:
        launch.start(run_dir)
        _wait(run_dir, port, say, clock)
    except BaseException:
        control.cancel(run_dir, "the deployment was given up")
        raise
    services.write(
        home,
        {
            "deployment": deployment.spec.name,
            "port": port,
            "run": run_dir.name,
            "model": deployment.model,
            "fidelity": deployment.environment.fidelity,
            "created": stamp(clock.now()),
        },
    )
    if before and before.run_dir != run_dir and before.run_dir.exists():
        services.stop(before.run_dir, f"replaced by deployment {deployment.spec.name}")
        _wait(run_dir, port, say, clock)
    found = services.read(home)
    if found is None:
        raise RefusedError(f"the endpoint {home.name} was removed while it was deployed")
    return found


def _job(run_dir: Path, deployment: Deployment, port: int) -> dict[str, layout.Json]:
    """Describe the server to the node supervisor. Variables as in Azure's inference containers."""
    spec, code = deployment.spec, layout.workdir(run_dir)
    variables = {
        **spec.environment_variables,
        "AZUREML_MODEL_DIR": str(deployment.model_dir),
        "AML_APP_ROOT": str(code),
        "SERVICE_NAME": spec.endpoint_name,
        "HOSTNAME": "localhost",
        serve.PORT: str(port),
        serve.ENTRY: str(code / spec.code_configuration.scoring_script),
        serve.READY: str(run_dir / services.READY),
    }
    return {
        "run_id": f"{spec.endpoint_name}-{run_dir.name}",
        "experiment": spec.endpoint_name,
        "command": "exec python ${{inputs.serve}}",
        "code": layout.CODE,
        "inputs": {"serve": {"path": "serve.py"}},
        "environment_variables": dict(variables),
        "environment": {
            "python": deployment.environment.python,
            "pip": list(deployment.environment.pip),
            "cache": str(cache_folder() / "environments"),
        },
        "grace_s": _GRACE_S,
        "tags": {"deployment": spec.name},
    }


def _wait(run_dir: Path, port: int, say: Callable[[str], None], clock: Clock) -> None:
    """Wait until the deployment answers. The environment may take its time; `init()` has two minutes."""
    deadline, told = None, False
    while True:
        status = reading.status(run_dir)
        if status.terminal:
            raise _failed(run_dir, f"the service did not start: {status.reason or 'the server ended by itself'}")
        if status.state == "Running":
            if not told and status.environment and not (run_dir / services.READY).exists():
                took = "cached" if status.environment.cached else f"built, {status.environment.built_s:.1f} s"
                say(f"environment {status.environment.id[:6]} {took}; starting the server")
                told = True
            if (run_dir / services.READY).exists() and healthy(port):
                return
            deadline = deadline or clock.monotonic() + _START_S
            if clock.monotonic() > deadline:
                raise _failed(run_dir, f"the service did not answer within {_START_S:.0f} s")
        clock.sleep(_POLL_S)


def _failed(run_dir: Path, message: str) -> RefusedError:
    log = "\n".join(f"  | {line}" for line in services.tail(run_dir).splitlines())
    return RefusedError(f"{message}\n{log}" if log else message, advice=f"The whole log: {run_dir / layout.USER_LOG}")


def healthy(port: int, timeout_s: float = 5.0) -> bool:
    """Tell whether the server answers its liveness probe (GET /, as Azure's)."""
    connection = http.client.HTTPConnection(services.LOOPBACK, port, timeout=timeout_s)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
