"""The glue: one project with its engine, its emulator and its deployed stacks, as the tasks need them."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.errors import HeldBackError, StoreError
from runtime.project import Project
from specs.base import CONFIG_KEY, STACK_NAME
from specs.cloud import disagreement, emulator_variables
from specs.problems import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from console.live import Row
    from engine.operations import Progress
    from engine.plan import Plan
    from engine.recover import Fact
    from engine.session import Session
    from runtime.events import OnEvent
    from runtime.models import Model
    from runtime.runs import Run
    from runtime.services import Service
    from runtime.site import Options
    from specs.checks import Examined
    from specs.deployed import Deployed
    from specs.job import CommandJob
    from specs.outputs import StackOutputs
    from specs.stack import StackSpec


@dataclass(frozen=True, slots=True)
class Yard:
    """One project folder."""

    project: Project

    @classmethod
    def here(cls) -> Yard:
        """Find the project of the current folder."""
        return cls(Project.find())

    def stack_names(self) -> list[str]:
        """List the stacks that have a file."""
        found = (self.project.root / "stacks").glob("*.yaml")
        return sorted(path.stem for path in found if not path.name.startswith("Pulumi."))

    def spec(self, stack: str) -> StackSpec:
        """Read a stack's file. Raises `SpecError`; one that names the stacks there are when it has none."""
        return self.examined(stack).spec

    def examined(self, stack: str, deployed: Deployed | None = None) -> Examined:
        """Read a stack's file and what is to be known of it; against what is `deployed`, if that is given.

        Raises:
            SpecError: the file is bad, or there is none of this name.

        """
        from specs.checks import examine  # all that can be declared: a submission needs none of it

        path = self._file(stack)
        return examine(path, f"stacks/{stack}.yaml", deployed=deployed)

    def _file(self, stack: str) -> Path:
        """Return a stack's file. Raises `SpecError`, naming the stacks there are, when it has none."""
        names = self.stack_names()
        if not STACK_NAME.fullmatch(stack):
            message = "a stack's name has letters, digits, _ . and -; rename the file."
            raise SpecError([Problem("the command", 0, 0, "--stack", message, given=f'"{stack}"', rule="stack-name")])
        if stack not in names:
            near = difflib.get_close_matches(stack, names, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            message = f"no such stack.{hint} Allowed: {', '.join(names) or 'none; there is no stacks/*.yaml'}."
            raise SpecError(
                [Problem(f"stacks/{stack}.yaml", 0, 0, "--stack", message, given=f'"{stack}"', rule="stack")]
            )
        return self.project.root / "stacks" / f"{stack}.yaml"

    def kept_outputs(self, stack: str) -> StackOutputs | None:
        """Return what this clone knows to be deployed; asks nobody."""
        from runtime import outputs
        from runtime.errors import NotDeployedError

        try:
            return outputs.load(self.project, stack)
        except NotDeployedError:
            return None

    def cloud(self, stack: str, spec: StackSpec) -> dict[str, str]:
        """Return what the stack's cloud adds to the environment; starts the emulator for a stack that says so.

        Raises `HeldBackError` when the shell points at another cloud than the stack's file.
        """
        if spec.cloud == "emulator":
            return self._emulator()
        if refusal := disagreement(stack, spec.cloud, os.environ):
            raise HeldBackError(refusal)
        return {}

    def _emulator(self) -> dict[str, str]:
        from emulator import launch

        try:
            return launch.ensure(self.project.emulator_home).environment()
        except launch.HomeError as error:
            raise StoreError(str(error)) from None

    def session(self, stack: str) -> tuple[Session, StackSpec]:
        """Open a stack for the engine. Raises when its file is bad, the clouds disagree, or there is no engine."""
        from engine import obtain
        from engine.errors import EngineError
        from engine.session import Session

        spec = self.spec(stack)
        cloud = self.cloud(stack, spec)
        found = obtain.find()
        if found is None:
            message = "there is no Pulumi engine on this machine yet."
            raise EngineError(message, "type: invoke setup")
        return Session(self.project.root, stack, found, cloud), spec

    def preview(self, stack: str, on_event: Callable[[Progress], None] | None = None) -> Plan:
        """Say what `up` would do."""
        from engine import operations

        session, _ = self.session(stack)
        return operations.preview(session, on_event=on_event)

    def up(
        self,
        stack: str,
        allowed: list[str],
        on_event: Callable[[Progress], None] | None = None,
        plan: Plan | None = None,
    ) -> Plan:
        """Deploy a stack and keep its outputs. Replaces a compute or workspace only when it is named in `allowed`.

        `plan`: what a preview just said, so that it is not asked again.
        """
        from console import deploying
        from engine import operations
        from engine.errors import EngineError

        session, _ = self.session(stack)
        plan = plan or operations.preview(session)
        deploying.hold_back(self, stack, plan, allowed)
        deploying.make_room(self, stack, plan)
        try:
            done = operations.up(session, on_event=on_event)
        except EngineError as error:
            if "Soft-deleted workspace exists" in error.message and not error.hint:
                error.hint = (
                    f"To take the old one back: the portal, Recently deleted; then: invoke adopt NAME --stack {stack}. "
                    f"To delete it for good: invoke purge --stack {stack}. Then: invoke up --stack {stack}"
                )
            error.hint = error.hint or f"What was made before is recorded. Then again: invoke up --stack {stack}"
            raise
        self.keep_outputs(session)
        return done

    def refresh(self, stack: str, *, preview_only: bool, on_event: Callable[[Progress], None] | None = None) -> Plan:
        """Compare state with the cloud; adopt what differs unless `preview_only`."""
        from engine import operations

        session, _ = self.session(stack)
        plan = operations.refresh(session, preview_only=preview_only, on_event=on_event)
        if not preview_only:
            self.keep_outputs(session)
        return plan

    def doomed(self, stack: str) -> Plan:
        """Say what `destroy` would delete."""
        from engine import operations

        session, _ = self.session(stack)
        return operations.destroy(session, preview_only=True)

    def destroy(self, stack: str, *, purge: bool, on_event: Callable[[Progress], None] | None = None) -> Plan:
        """Delete all that a stack made, and forget its outputs. `purge`: its workspaces can't be recovered afterwards.

        What is in the emulator is always purged: nobody recovers from it, and its names should be free.
        """
        from console import deploying, purging
        from engine import operations
        from runtime import outputs
        from runtime.control_plane import connect

        session, spec = self.session(stack)
        known = self.deployed(stack)
        if known:
            plane = connect(known.cloud, self.project)
            deploying.detach(plane, known, known.targets)
            if purge or spec.cloud == "emulator":
                purging.for_good(plane, known)
            else:
                purging.remember(self.project, known)
        plan = operations.destroy(session, on_event=on_event)
        outputs.forget(self.project, stack)
        return plan

    def purge(self, stack: str) -> list[str]:
        """Delete for good the workspaces of a stack file that were deleted before and still keep their name."""
        from console import purging
        from runtime.control_plane import connect

        spec = self.spec(stack)
        self.cloud(stack, spec)
        return purging.left_behind(connect(spec.cloud, self.project), spec)

    def keep_outputs(self, session: Session) -> None:
        """Fetch a stack's outputs from the engine into the cache that `runtime` reads."""
        from engine import operations
        from runtime import outputs
        from specs.outputs import StackOutputs

        document = operations.outputs(session).get("trainyard")
        if document is None:
            outputs.forget(self.project, session.stack)
        else:
            outputs.save(self.project, StackOutputs.model_validate(document))

    def outputs(self, stack: str) -> StackOutputs:
        """Read what a stack answers, anew when plain `pulumi up` wrote the state since; its emulator is awake after.

        What is deployed counts, and not what its file says by now: that is not read.
        """
        from runtime import outputs

        self._file(stack)
        if self._outdated(stack):
            session, _ = self.session(stack)
            self.keep_outputs(session)
        found = outputs.load(self.project, stack)
        if found.cloud == "emulator" and not emulator_variables(os.environ):
            self._emulator()
        return found

    def _outdated(self, stack: str) -> bool:
        # One folder, named as the project is in Pulumi.yaml; a renamed project has two.
        states = (self.project.data / "pulumi" / ".pulumi" / "stacks").glob(f"*/{stack}.json")
        written = max((state.stat().st_mtime_ns for state in states), default=None)
        kept = self.project.outputs_file(stack)
        return written is not None and (not kept.exists() or kept.stat().st_mtime_ns < written)

    def variables(self, stack: str) -> dict[str, str]:
        """Return what plain pulumi, az and the SDKs need to see a stack's cloud and state: what differs from here."""
        session, _ = self.session(stack)
        session.prepare()
        wanted = session.environment()
        return {name: value for name, value in wanted.items() if os.environ.get(name) != value}

    def submit(  # noqa: PLR0913 - what a command gives, and two that all others leave out
        self,
        job: Path | CommandJob,
        target: str | None,
        stack: str,
        on_event: OnEvent,
        *,
        overrides: Sequence[str] = (),
        options: Options | None = None,
    ) -> Run:
        """Submit a job. `local` needs no stack; everything else needs a deployed one."""
        from runtime.site import Options
        from runtime.submit import submit
        from specs.targets import LOCAL

        known = self.deployed(stack) if target != LOCAL or stack in self.stack_names() else None
        if known is None and target != LOCAL:
            self.spec(stack)
        return submit(
            job,
            target,
            stack=known or stack,
            project=self.project,
            on_event=on_event,
            options=options or Options(),
            overrides=overrides,
        )

    def keep_secret(self, stack: str, key: str, value: str) -> None:
        """Keep a secret for a stack, encrypted, under a key that a stack file can name."""
        from engine import operations

        if not CONFIG_KEY.fullmatch(key):
            message = "a config key has letters, digits, _ . and -, and starts with a letter."
            raise SpecError([Problem("invoke secret", 0, 0, "key", message, given=f'"{key}"', rule="config-key")])
        session, _ = self.session(stack)
        operations.set_secret(session, key, value)

    def deployed(self, stack: str) -> StackOutputs | None:
        """Read what a stack answers, or None when it was never brought up."""
        from runtime.errors import NotDeployedError

        try:
            return self.outputs(stack)
        except NotDeployedError:
            return None

    def awake(self) -> None:
        """Start the emulator again when a deployed stack of this project is in it; nothing else."""
        from runtime import outputs
        from runtime.errors import TrainyardError

        for stack in outputs.stacks(self.project):
            try:
                clouds = outputs.load(self.project, stack).cloud
            except TrainyardError:
                continue  # the command that needs this stack says what is wrong with it
            if clouds == "emulator" and not emulator_variables(os.environ):
                self._emulator()
                return

    def runs(
        self, stack: str | None, chosen: Callable[[Run], bool] | None = None, last: int | None = None
    ) -> list[Run]:
        """List runs, newest first; of one stack, or of all. Only those that are listed are asked about.

        `chosen` judges by what a run never changes; `last`: no more than so many of these.
        """
        from runtime.runs import asked, list_runs

        if stack is not None:
            self.spec(stack)
        self.awake()
        found = list_runs(self.project, refreshed=False)
        found = [run for run in found if stack in (None, run.record.stack) and (chosen is None or chosen(run))][:last]
        return asked(found[0].site, found) if found else []

    def run(self, run_id: str, workspace: str | None = None) -> Run:
        """Find a run here, or in a workspace that is named; as last seen where the truth can't be asked."""
        from runtime.runs import as_known, find_run

        if workspace is None:
            self.awake()
        return as_known(find_run(self.project, run_id, workspace))

    def register(self, stack: str, name: str, path: str, run_id: str | None, metric: str) -> Model:
        """Register a model from a run, from the best run, or from a local path."""
        from pathlib import Path

        from runtime import models

        known = self.outputs(stack)
        if run_id is None:
            return models.register(self.project, Path(path), name, stack=known)
        run = self.best(metric) if run_id == "best" else self.run(run_id)
        return models.register(self.project, run, name, stack=known, details=models.Details(path=path))

    def best(self, metric: str) -> Run:
        """Find the completed run with the highest value of a metric."""
        from runtime.errors import NotFoundError

        found = [run for run in self.runs(None) if run.state == "Completed" and metric in run.metrics]
        if not found:
            raise NotFoundError(f"no completed run has logged {metric}. See: invoke runs")
        return max(found, key=lambda run: run.metrics[metric])

    def models(self, stack: str) -> list[Model]:
        """List the models of a stack's workspaces."""
        from runtime import models

        return models.models(self.project, self.outputs(stack))

    def targets(self, stack: str, *, online: bool = False) -> list[Row]:
        """List a stack's targets with their live state; `online`: with the prices of today."""
        from console import live
        from console.online import prices as online_prices

        known = self.deployed(stack)
        if known is None:
            self.spec(stack)
        return live.targets(self.project, known, online_prices(self, stack) if online else None)

    def deploy(self, stack: str, file: str, trust: list[str], say: Callable[[str], None]) -> Service:
        """Put a model behind HTTP on this machine."""
        from pathlib import Path

        from console import serving

        return serving.start(self.project, Path(file), self.deployed(stack), tuple(trust), say)

    def recover(self, stack: str) -> list[Fact]:
        """Put right what a killed engine, provider or emulator left of a stack; nothing to say when it is fine."""
        from console import recovering

        return recovering.recovered(self, stack)
