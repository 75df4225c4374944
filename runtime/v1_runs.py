"""Experiments and runs under the v1 SDK's names: thin covers of `runtime.submit` and `runtime.runs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import paths, submitters, temporary, v1_jobs
from runtime.errors import NotFoundError, RefusedError, SubmissionUnknownError, TrainyardError
from runtime.v1_compute import ComputeTarget
from runtime.v1_config import RUN_BASED, ScriptRunConfig
from runtime.v1_context import ContextRun
from runtime.v1_data import DataReference
from runtime.v1_declare import PRIORITIES
from runtime.v1_estimators import Estimator
from runtime.v1_words import choice, note, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime import runs
    from runtime.events import Event
    from runtime.models import Model
    from runtime.records import Kind
    from runtime.site import Metrics, Point, RunFile
    from runtime.v1_workspace import Workspace
    from runtime.wire import Object
    from specs.job import CommandJob
    from specs.outputs import StackOutputs


class ActivityFailedException(TrainyardError):  # noqa: N818 - v1's own name
    """The run ended, and not well."""


class Experiment:
    """What runs are compared under."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        if not hasattr(workspace, "outputs"):
            raise wrong("Experiment", "workspace", "takes a Workspace. First: ws = Workspace.from_config().")
        self.workspace, self.name = workspace, name

    def submit(self, config: object, tags: dict[str, str] | None = None) -> Run:
        """Submit a script's configuration, or an estimator, and return its run at once.

        Raises `SpecError` for what else v1 could submit, naming what comes; the errors of `runtime.submit.submit`.
        """
        if not isinstance(config, (ScriptRunConfig, Estimator)):
            message = "takes a ScriptRunConfig or an estimator. Tuning and pipelines come later, as Azure's job files."
            raise wrong("Experiment.submit", "config", message, given=type(config).__name__, rule="v1-later")
        script = config.script_run_config()
        made = _Submission(self.workspace, self.name, script, tags or {})
        _inputs_of(config, made.inputs)
        return Run(self, made.submit())

    def get_runs(self) -> Iterator[Run]:
        """Yield the experiment's runs of this project, the newest first."""
        from runtime.runs import list_runs

        for found in list_runs(self.workspace.project, site=self.workspace.site):
            if found.experiment == self.name:
                yield Run(self, found)


def _inputs_of(config: object, inputs: list[DataReference]) -> None:
    given = config.inputs if isinstance(config, Estimator) else None
    for index, item in enumerate(given or []):
        if not isinstance(item, DataReference):
            message = "is no reference to data (datastore.path(…).as_mount())."
            raise wrong(type(config).__name__, f"inputs[{index}]", message, given=repr(item)[:80])
        inputs.append(item)


class _Submission:
    """One submission: where it goes, and its job."""

    def __init__(self, workspace: Workspace, experiment: str, config: ScriptRunConfig, tags: dict[str, str]) -> None:
        self.workspace, self.experiment, self.config, self.tags = workspace, experiment, config, tags
        self.inputs: list[DataReference] = []

    def submit(self) -> runs.Run:
        target = self.config.run_config.target
        name = target.name if isinstance(target, ComputeTarget) else str(target)
        if name == RUN_BASED and self.workspace.outputs.target(name) is None:
            return self._on_a_cluster_of_its_own()
        from runtime.submit import kind_of

        found = ComputeTarget(self.workspace, name).target
        return self._sent(self._job(kind_of(found)), name, self.workspace.outputs)

    def _job(self, kind: Kind) -> CommandJob:
        made = v1_jobs.job(self.config, self.experiment, kind, self.inputs)
        return made.model_copy(update={"tags": {key: str(value) for key, value in self.tags.items()}})

    def _sent(self, job: CommandJob, target: str, known: StackOutputs) -> runs.Run:
        here = self.workspace
        from runtime.submit import submit

        return submit(job, target, stack=known, project=here.project, site=here.site, on_event=_say)

    def _on_a_cluster_of_its_own(self) -> runs.Run:
        """Make a cluster for the run, then submit; whatever goes wrong in between, the cluster goes."""
        here, wanted = self.workspace, self._wanted()
        today = here.site.clock.now().date()
        for text in temporary.check(wanted, RUN_BASED, today):
            note(text)
        job = self._job("AmlCompute")
        for text in temporary.sweep(here.site):
            note(text)
        self._check_quota(wanted)
        run_id = temporary.free_id(here.site, self.experiment)
        try:
            cluster = temporary.make(here.site, here.outputs, here.key, run_id, wanted)
            known = here.outputs.model_copy(update={"targets": {**here.outputs.targets, cluster.name: cluster}})
            # Followed by a driver of its own, so that somebody sees the end when this process is gone.
            job = job.model_copy(update={"name": run_id, "retry": "preemption"})
            return self._sent(job, cluster.name, known)
        except SubmissionUnknownError:
            raise
        except BaseException:
            temporary.abandon(here.site, run_id)
            raise

    def _wanted(self) -> temporary.Wanted:
        given = self.config.run_config.amlcompute
        nodes = v1_jobs.node_count(self.config)
        where = "run_config.amlcompute"
        if not given.vm_size:
            message = "is missing: a cluster is made for the run. See AmlCompute.supported_vmsizes(). "
            message += f"Or name a target: {', '.join(self.workspace.outputs.names())}."
            raise wrong(where, "vm_size", message)
        if given.retain_cluster or given.name:
            message = "a cluster that stays is declared in the stack's file, and then named as the target."
            raise wrong(where, "retain_cluster" if given.retain_cluster else "name", message)
        most = given.cluster_max_node_count or nodes
        if most < nodes:
            message = f"is fewer than the run's nodes ({nodes})."
            raise wrong(where, "cluster_max_node_count", message, given=most)
        priority = choice(where, "vm_priority", given.vm_priority or "dedicated", PRIORITIES)
        return temporary.Wanted(given.vm_size, priority, most)

    def _check_quota(self, wanted: temporary.Wanted) -> None:
        here = self.workspace
        today = here.site.clock.now().date()
        try:
            for text in temporary.check_quota(here.plane, here.location, wanted, RUN_BASED, today):
                note(text)
        except RefusedError as refused:
            note(f"the region's quotas could not be read, so the size was not held against them: {refused.code}")


def _say(event: Event) -> None:
    if event.topic == "note":
        note(event.text)


class Details(dict[str, object]):
    """A run's details: v1's mapping, whose words are attributes too (`get_details().status`)."""

    def __getattr__(self, name: str) -> object:
        """Return a word. Raises `AttributeError` with those that there are."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the details have no {name}; they have: {', '.join(self)}") from None


class Run:
    """One execution, as last asked."""

    def __init__(self, experiment: Experiment, run: runs.Run) -> None:
        self.experiment, self.run = experiment, run

    def __repr__(self) -> str:
        return (
            f"Run(Experiment: {self.experiment.name},\nId: {self.id},\nType: azureml.scriptrun,\nStatus: {self.status})"
        )

    @staticmethod
    def get_context(allow_offline: bool = True) -> ContextRun:  # noqa: FBT001, FBT002 - v1's own
        """Return the run that this script is: call it inside a job."""
        return ContextRun.here(allow_offline=allow_offline)

    @property
    def id(self) -> str:
        """Its name."""
        return self.run.id

    @property
    def status(self) -> str:
        """Its state, as last asked."""
        return self.run.state

    def get_status(self) -> str:
        """Ask for its state."""
        self.run = self.run.refresh()
        return self.run.state

    def get_details(self) -> Details:
        """Ask for everything that is known of it."""
        self.run = self.run.refresh()
        record = self.run.record
        found: Object = {
            "runId": record.id,
            "target": record.target,
            "status": record.state,
            "startTimeUtc": record.started,
            "endTimeUtc": record.ended,
            "error": {"message": record.reason} if record.state == "Failed" else None,
            "properties": dict(record.git),
            "environment": record.environment,
            "snapshot": record.snapshot,
        }
        return Details(found)

    def get_metrics(self, name: str | None = None) -> dict[str, float | list[float]]:
        """Return what was logged: a value, or a list of them where a name was logged more than once."""
        self.run = self.run.refresh()
        wanted: Metrics = self.run.metrics
        keys = [key for key in wanted if name in (None, key)]
        series: dict[str, list[Point]] = {key: self.run.history(key) for key in keys}
        return {
            key: [point.value for point in series[key]] if len(series[key]) > 1 else wanted[key] for key in keys
        }  # fmt: skip

    def get_file_names(self) -> list[str]:
        """List what it left: `outputs/model.pkl`, `user_logs/std_log.txt`."""
        return sorted(file.name for file in self._files())

    def download_file(self, name: str, output_file_path: str | None = None) -> None:
        """Fetch one file, to a path (a folder when it ends with `/` or is one); a file that differs is not touched."""
        found = next((file for file in self._files() if file.name == name), None)
        if found is None:
            raise NotFoundError(f"{self.id} has no file {name}. It has: {', '.join(self.get_file_names()) or 'none'}")
        given = output_file_path or "."
        folder = given.endswith("/") or Path(given).is_dir()
        target = Path(given) / Path(name).name if folder else Path(given)
        paths.destination(target.parent)
        paths.store(target.parent, target.name, found.read())

    def download_files(self, prefix: str | None = None, output_directory: str | None = None) -> None:
        """Fetch the files whose names begin so, beneath a folder."""
        folder = Path(output_directory or ".")
        paths.destination(folder)
        for found in self._files():
            if found.name.startswith(prefix or ""):
                paths.store(folder, found.name, found.read())

    def _files(self) -> list[RunFile]:
        return submitters.of(self.run.record.kind).files(self.run.site, self.run.record)

    def wait_for_completion(
        self,
        show_output: bool = False,  # noqa: FBT001, FBT002 - v1's own, given by position
        raise_on_error: bool = True,  # noqa: FBT001, FBT002
    ) -> Details:
        """Block until the end; `show_output` writes the logs to stdout. Raises `ActivityFailedException`."""
        if show_output:
            print(f"RunId: {self.id}", flush=True)  # noqa: T201 - asked for
            self.run = self.run.stream(_write, terminal=sys.stdout.isatty())
        else:
            self.run = self.run.wait()
        if raise_on_error and self.run.state == "Failed":
            reason = self.run.record.reason or f"exit code {self.run.record.exit_code}"
            raise ActivityFailedException(f"{self.id} failed: {reason}\n  To see its log: invoke logs {self.id}")
        return self.get_details()

    def cancel(self) -> None:
        """Ask for its end."""
        self.run = self.run.cancel()

    def register_model(
        self,
        model_name: str,
        model_path: str | None = None,
        tags: dict[str, str] | None = None,
        description: str | None = None,
    ) -> Model:
        """Register what it left, by default `outputs`, as the next version of a model in its workspace."""
        from runtime import models

        details = models.Details(path=model_path or "outputs", description=description, tags=dict(tags or {}))
        here = self.experiment.workspace
        return models.register(
            here.project, self.run, model_name, stack=here.outputs, details=details, site=here.site
        )  # fmt: skip


def _write(chunk: bytes) -> None:
    """Write to stdout, byte by byte where it can; a notebook's takes text only."""
    raw = getattr(sys.stdout, "buffer", None)
    if raw is None:
        sys.stdout.write(chunk.decode("utf-8", "replace"))
    else:
        raw.write(chunk)
    sys.stdout.flush()
