"""Compute targets under the v1 SDK's names: one that the stack declares is found; for any other, what to add to it.

Nothing is made from Python: a target that a notebook makes is one that no file declares, no review has seen and no
`destroy` removes. `ComputeTarget.create` and `attach` answer with the lines for the stack's file instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtime import v1_declare, wire
from runtime.errors import TargetError
from runtime.v1_words import note, unknown, wrong
from specs.targets import LOCAL
from specs.vm_sizes import catalogue

if TYPE_CHECKING:
    from typing import NoReturn

    from runtime.v1_workspace import Workspace
    from runtime.wire import Object
    from specs.targets import Target

API = "2025-12-01"
"""Compute_Get."""
SETTLED = frozenset({"Succeeded", "Failed", "Canceled"})
SETTLE_S = 2.0


class UserErrorException(TargetError):  # noqa: N818 - v1's own name
    """v1's name for what the caller can put right."""

    @property
    def message(self) -> str:
        """v1's word for the text."""
        return str(self)


class ComputeTargetException(UserErrorException):
    """The target is not declared, or can't do what was asked."""


class ComputeTarget:
    """A declared target, found by its name. Raises `ComputeTargetException` when the stack has none of it."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        if not hasattr(workspace, "outputs"):
            raise wrong("ComputeTarget", "workspace", "takes a Workspace. First: ws = Workspace.from_config().")
        found = workspace.outputs.target(name)
        if found is None:
            stack, names = workspace.outputs.stack, ", ".join(workspace.outputs.names())
            message = (
                f"no target {name} in stack {stack}. Declared: {names}.\n  To declare it: ComputeTarget.create or "
            )
            message += "attach say what to add to the stack's file."
            raise ComputeTargetException(message)
        self.workspace, self.name, self.target = workspace, name, found

    @property
    def type(self) -> str:
        """ARM's computeType; of this machine `Local`."""
        return self.target.kind

    @property
    def id(self) -> str | None:
        """ARM id; None of this machine."""
        return None if self.target.kind == "Local" else self.target.id

    @property
    def vm_size(self) -> str | None:
        """Size of its nodes, where the stack says it."""
        return getattr(self.target, "vm_size", None)

    @property
    def provisioning_state(self) -> str:
        """What the service says."""
        return str(self.get_status().get("provisioningState") or "Succeeded")

    def get_status(self) -> Object:
        """Ask the service for the target's state: its properties as ARM has them; empty for this machine."""
        if self.id is None:
            return {}
        found = self.workspace.plane.find(self.id, API)
        if found is None:
            stack = self.workspace.outputs.stack
            message = f"{self.name} is declared, and the workspace no longer has it. To make it again: invoke up"
            raise ComputeTargetException(f"{message} --stack {stack}")
        properties = wire.obj(found.get("properties"))
        return {**properties, **wire.obj(properties.get("properties"))}

    def wait_for_completion(
        self,
        show_output: bool = False,  # noqa: FBT001, FBT002 - v1's own, given by position
        min_node_count: int | None = None,
        timeout_in_minutes: float = 25,
        **others: object,
    ) -> None:
        """Block until the service has settled the target. Raises `ComputeTargetException`."""
        if others:
            raise unknown("wait_for_completion", next(iter(others)), ["show_output", "min_node_count"])
        if min_node_count is not None:
            note("min_node_count: nodes come when a run needs them")
        clock = self.workspace.site.clock
        deadline = clock.monotonic() + timeout_in_minutes * 60
        while (state := self.provisioning_state) not in SETTLED:
            if clock.monotonic() > deadline:
                raise ComputeTargetException(f"{self.name} is still {state} after {timeout_in_minutes:g} minutes")
            clock.sleep(SETTLE_S)
        if show_output:
            print(f"{self.name}: {state}")  # noqa: T201 - asked for
        if state != "Succeeded":
            raise ComputeTargetException(f"{self.name} is {state}. See: invoke targets")

    def update(self, **changes: object) -> NoReturn:
        """Say what to change in the stack's file."""
        lines = v1_declare.changed(self.name, changes)
        raise ComputeTargetException(self._by_the_file(f"change\n{lines}"))

    def delete(self) -> NoReturn:
        """Say what to take out of the stack's file."""
        raise ComputeTargetException(self._by_the_file(f"take {self.name} out"))

    detach = delete

    def _by_the_file(self, what: str) -> str:
        stack = self.workspace.outputs.stack
        return f"{self.name} is declared by the stack. In stacks/{stack}.yaml {what}\n  Then: invoke up --stack {stack}"

    @staticmethod
    def create(workspace: Workspace, name: str, provisioning_configuration: v1_declare.Declaration) -> ComputeTarget:
        """Find a target that is declared, else raise `ComputeTargetException` with the lines to declare it."""
        return _declared(workspace, name, provisioning_configuration)

    @staticmethod
    def attach(workspace: Workspace, name: str, attach_configuration: v1_declare.Declaration) -> ComputeTarget:
        """Find a target that is declared, else raise `ComputeTargetException` with the lines to declare it."""
        return _declared(workspace, name, attach_configuration)


def _declared(workspace: Workspace, name: str, wanted: v1_declare.Declaration) -> ComputeTarget:
    if not isinstance(wanted, v1_declare.Declaration):
        message = "takes what provisioning_configuration or attach_configuration returns."
        raise wrong("ComputeTarget", "configuration", message, given=repr(wanted)[:80])
    known = workspace.outputs
    found = known.target(name)
    if found is None:
        raise ComputeTargetException(v1_declare.advice(wanted, name, known, workspace.key))
    if name == LOCAL or found.kind != wanted.kind:
        message = f"{name} is of kind {found.kind} in stack {known.stack}, not {wanted.kind}. Choose another name."
        raise ComputeTargetException(message)
    for field, value in _differences(wanted, found):
        note(f"{name}: the stack's file says {field}: {value}, and that holds")
    return ComputeTarget(workspace, name)


def _differences(wanted: v1_declare.Declaration, found: Target) -> list[tuple[str, object]]:
    return [
        (field, known)
        for field, value in wanted.fields.items()
        if (known := getattr(found, field, None)) is not None and known != value
    ]


class _Kind(ComputeTarget):
    """A kind of target: finds one, and describes what would be declared."""


class AmlCompute(_Kind):
    """A cluster."""

    @staticmethod
    def provisioning_configuration(**given: Any) -> v1_declare.Declaration:
        """Describe a cluster in v1's words. Raises `SpecError` for one that is not known."""
        return v1_declare.cluster(given)

    @staticmethod
    def supported_vmsizes(workspace: Workspace | None = None, location: str | None = None) -> list[dict[str, object]]:
        """List the sizes that new clusters can have, from this project's own catalogue; regions offer fewer."""
        if workspace is not None or location is not None:
            note("supported_vmsizes: the list is that of all regions; invoke sizes --online asks one")
        today = datetime.now(UTC).date()
        return [
            {
                "name": size.name,
                "vCPUs": size.vcpus,
                "gpus": size.gpus,
                "memoryGB": size.memory_gib,
                "maxResourceVolumeMB": int(size.temp_disk_gib * 1024),
            }
            for size in catalogue().values()
            if size.offered("AmlCompute", today)
        ]


class ComputeInstance(_Kind):
    """An instance."""

    @staticmethod
    def provisioning_configuration(**given: Any) -> v1_declare.Declaration:
        """Describe an instance in v1's words."""
        return v1_declare.instance(given)


class RemoteCompute(_Kind):
    """A machine reached by SSH."""

    @staticmethod
    def attach_configuration(**given: Any) -> v1_declare.Declaration:
        """Describe a machine in v1's words. Passwords and keys stay where they are: no line holds them."""
        return v1_declare.machine(given)


class HDInsightCompute(_Kind):
    """A Spark cluster. Its kind comes later; what it will be declared as is said already."""

    @staticmethod
    def attach_configuration(**given: Any) -> v1_declare.Declaration:
        """Describe a Spark cluster in v1's words."""
        return v1_declare.hdinsight(given)


class DatabricksCompute(_Kind):
    """A Databricks workspace. Its kind comes later."""

    @staticmethod
    def attach_configuration(**given: Any) -> v1_declare.Declaration:
        """Describe a Databricks workspace in v1's words."""
        return v1_declare.databricks(given)


class AdlaCompute(_Kind):
    """A Data Lake Analytics account. Its kind comes later."""

    @staticmethod
    def attach_configuration(**given: Any) -> v1_declare.Declaration:
        """Describe an account in v1's words."""
        return v1_declare.data_lake(given)
