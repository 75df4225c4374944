"""The environment variables of a job: what it inherits, what the run adds, and in which order one beats the other.

A job inherits its machine's settings (PATH, locale, OMP_NUM_THREADS, CUDA …) but not the credentials and tool state of
whoever launched it: in Azure ML it would not see them either, and what it prints lands in a log.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from node import processes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.job import Job

_WITHHELD = re.compile(
    r"(ARM_|AZURE_|AZUREML_|MLFLOW_|PULUMI_|TRAINYARD_|DATABRICKS_|GIT_|SSH_)"
    r"|(PYTHONPATH|PYTHONHOME|PYTHONSTARTUP|VIRTUAL_ENV|CONDA_PREFIX|BASH_ENV|ENV|OLDPWD|PWD|SHLVL|_)$"
    r"|.*(SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|CONNECTION_?STRING)"
    r"|(.*_)?TOKEN(_.*)?$",
    re.IGNORECASE,
)


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a job may inherit from the launcher's environment."""
    return {key: value for key, value in environ.items() if not _WITHHELD.match(key)}


def build(job: Job, interpreter: str | None, tracking: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, str]:
    """Return the job's whole environment. It may say otherwise than anything but `fixed` (inputs, outputs, the mark).

    A job that names a tracking server of its own gets nothing of ours.
    """
    values = inherited(os.environ)
    # Python holds back what it prints into a file; the log shall show a line when it is written.
    values["PYTHONUNBUFFERED"] = "1"
    # MLflow's client else reports its use to a server on the internet (mlflow.telemetry, MLFLOW_DISABLE_TELEMETRY).
    values["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # The addresses that it prints at the end of a run lead nowhere once the job is over.
    values["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    values["AZUREML_RUN_ID"] = job.run_id
    if "MLFLOW_TRACKING_URI" not in job.variables:
        values.update(tracking)
    for name in ("NO_PROXY", "no_proxy"):
        values[name] = ",".join(filter(None, [values.get(name), "127.0.0.1", "localhost"]))
    if interpreter is not None:
        folder = Path(interpreter).parent
        values["PATH"] = os.pathsep.join([str(folder), values.get("PATH", os.defpath)])
        if (folder.parent / "pyvenv.cfg").is_file():
            values["VIRTUAL_ENV"] = str(folder.parent)
    values.update(job.extra_env)
    values.update(job.variables)
    values.update(fixed)
    values.pop(processes.SUPERVISOR, None)
    return values
