"""The v1 SDK's `Workspace`: the one of the project's stack, found without asking anybody.

What `Workspace.from_config()` read from a `config.json` is what the stack's outputs say; a `config.json` that is there
chooses among several.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runtime import outputs
from runtime.errors import NotDeployedError
from runtime.project import Project
from runtime.site import open_site
from runtime.v1_compute import ComputeTarget
from runtime.v1_data import Datastore
from runtime.v1_words import wrong
from specs import loader
from specs.targets import LOCAL

if TYPE_CHECKING:
    from typing import NoReturn

    from runtime.control_plane import ControlPlane
    from runtime.site import Site
    from runtime.wire import Object
    from specs.outputs import StackOutputs

CONFIG = ("config.json", ".azureml/config.json", "aml_config/config.json")
"""Where the v1 SDK looked, from each folder upwards."""


class Workspace:
    """A workspace of a deployed stack."""

    def __init__(self, project: Project, known: StackOutputs, key: str, site: Site | None = None) -> None:
        self.project, self.outputs, self.key = project, known, key
        self.site = site or open_site(project)

    def __repr__(self) -> str:
        return f"Workspace({self.key!r} of stack {self.outputs.stack})"

    @classmethod
    def from_config(
        cls, path: str | Path | None = None, *, stack: str | None = None, workspace: str | None = None
    ) -> Workspace:
        """Find the workspace of the project that holds this folder.

        `path`: a folder of the project, or a v1 `config.json`. `stack`, `workspace`: which, where there are several;
        absent: what a `config.json` names, else the only one, else that of the stack's default target.
        Raises `NotFoundError` outside a project, `NotDeployedError`, `SpecError`.
        """
        start = Path(path) if path is not None else Path.cwd()
        project = Project.find(start.parent if start.is_file() else start)
        named = _config(start)
        if stack is None and workspace is None and named:
            return cls._named(project, named, str(start))
        known = outputs.load(project, stack or _only(project))
        key = workspace or _default(known)
        if key not in known.workspaces:
            message = f"no such workspace in stack {known.stack}. Allowed: {', '.join(known.workspaces)}."
            raise wrong("Workspace.from_config", "workspace", message, given=key, rule="v1-workspace")
        return cls(project, known, key)

    @classmethod
    def get(
        cls,
        name: str,
        subscription_id: str | None = None,
        resource_group: str | None = None,
    ) -> Workspace:
        """Find a workspace by its name among those of this project's stacks."""
        wanted = {"workspace_name": name, "subscription_id": subscription_id, "resource_group": resource_group}
        return cls._named(Project.find(), {key: value for key, value in wanted.items() if value}, "Workspace.get")

    @classmethod
    def create(cls, name: str, **_given: object) -> NoReturn:
        """Say what to add to a stack's file: workspaces are declared."""
        message = f"workspaces are declared: add  workspaces: {{{name}: {{}}}}  to a stack's file, then invoke up."
        raise wrong("Workspace", "create", message, given=name, rule="v1-declared")

    @classmethod
    def _named(cls, project: Project, wanted: dict[str, str], where: str) -> Workspace:
        every = [outputs.load(project, stack) for stack in outputs.stacks(project)]
        found = [
            cls(project, known, key)
            for known in every
            for key, item in known.workspaces.items()
            if _same(wanted, item.id)
        ]
        if not found:
            names = ", ".join(f"{key} (stack {known.stack})" for known in every for key in known.workspaces)
            message = f"no deployed stack of this project has it. Deployed: {names or 'none'}."
            raise wrong(where, "workspace_name", message, given=wanted.get("workspace_name"), rule="v1-workspace")
        return found[0]

    @property
    def id(self) -> str:
        """ARM id."""
        return self.outputs.workspaces[self.key].id

    @property
    def name(self) -> str:
        """Its name in Azure."""
        return self.outputs.workspaces[self.key].name

    @property
    def subscription_id(self) -> str:
        """Of its id."""
        return self.id.split("/")[2]

    @property
    def resource_group(self) -> str:
        """Of its id."""
        return self.id.split("/")[4]

    @property
    def location(self) -> str:
        """Its region."""
        return self.outputs.workspaces[self.key].location

    @property
    def compute_targets(self) -> dict[str, ComputeTarget]:
        """Its declared targets by name, and this machine."""
        mine = [name for name, target in self.outputs.targets.items() if target.workspace == self.key]
        return {name: ComputeTarget(self, name) for name in [*mine, LOCAL]}

    @property
    def plane(self) -> ControlPlane:
        """Where its services are asked."""
        return self.site.cloud(self.outputs.cloud)

    def get_default_datastore(self) -> Datastore:
        """Refer to its own blob store."""
        return Datastore(self)

    def get_details(self) -> Object:
        """Return what is known of it without asking."""
        return {"id": self.id, "name": self.name, "location": self.location, "stack": self.outputs.stack}


def _only(project: Project) -> str:
    """Return the stack that is meant when none is named. Raises `SpecError` where there are several."""
    stacks = outputs.stacks(project)
    if not stacks:
        raise NotDeployedError(LOCAL)
    if len(stacks) > 1:
        message = f"several stacks are deployed here: {', '.join(stacks)}. Say which: stack='{stacks[0]}'."
        raise wrong("Workspace.from_config", "stack", message, rule="v1-stack")
    return stacks[0]


def _default(known: StackOutputs) -> str:
    if not known.workspaces:
        message = f"stack {known.stack} has no workspace. Add one to its file, then: invoke up --stack {known.stack}"
        raise wrong("Workspace.from_config", "workspace", message, rule="v1-workspace")
    target = known.targets.get(known.default_target)
    return target.workspace if target else next(iter(known.workspaces))


def _config(start: Path) -> dict[str, str]:
    """Read a v1 `config.json`; empty where there is none. Raises `SpecError` for one that names no workspace."""
    folder = start.parent if start.is_file() else start.absolute()
    candidates = [start] if start.is_file() else [at / name for at in (folder, *folder.parents) for name in CONFIG]
    path = next((item for item in candidates if item.is_file()), None)
    if path is None:
        return {}
    found = loader.read(path, str(path)).value
    named = {key: str(value) for key, value in found.items() if value} if isinstance(found, dict) else {}
    if "workspace_name" in named:
        return named
    if start.is_file():
        raise wrong(str(path), "workspace_name", "is missing; a v1 config.json names a workspace.", rule="v1-config")
    return {}


def _same(wanted: dict[str, str], workspace_id: str) -> bool:
    parts = workspace_id.lower().split("/")
    said = {"subscription_id": parts[2], "resource_group": parts[4], "workspace_name": parts[-1]}
    return all(wanted[key].lower() == said[key] for key in said if key in wanted)
