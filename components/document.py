"""The one document that a stack exports, from its spec and what Azure gave it. Holds no secret. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from components import compute
from specs.base import fixed
from specs.outputs import IdentityOutput, StackOutputs, WorkspaceOutput
from specs.stack import LOCAL
from specs.targets import LocalTarget

if TYPE_CHECKING:
    from components.base import Account
    from specs.stack import StackSpec


class Known(TypedDict):
    """What only the cloud knows, by the names of the spec."""

    workspaces: dict[str, dict[str, str]]
    """`id`, `name`, `storage_account`."""
    ids: dict[str, str]
    """ARM ids of computes."""
    addresses: dict[str, str]
    """Of the machines that the stack made."""
    subnets: dict[str, str]
    """ARM ids."""
    identities: dict[str, dict[str, str]]
    """`id`, `principal_id`."""


def render_document(name: str, spec: StackSpec, account: Account, known: Known) -> dict[str, object]:
    """Build the exported document."""
    outputs = StackOutputs(
        stack=name,
        cloud=spec.cloud,
        subscription_id=account.subscription_id,
        tenant_id=account.tenant_id,
        resource_group=spec.resource_group,
        location=spec.location,
        workspaces={key: _workspace(key, spec, known) for key in spec.all_workspaces()},
        targets={
            at[-1]: compute.target(at[-1], at[1], item, known["ids"][at[-1]], known["addresses"].get(at[-1]))
            for at, item in spec.computes()
        },
        default_target=spec.default_target,
        local=LocalTarget(name=LOCAL, **spec.local.model_dump()),
        subnets=known["subnets"],
        identities={key: IdentityOutput.model_validate(item) for key, item in known["identities"].items()},
    )
    return outputs.model_dump(mode="json")


def _workspace(key: str, spec: StackSpec, known: Known) -> WorkspaceOutput:
    found = known["workspaces"][key]
    if key in spec.workspaces:
        return WorkspaceOutput.model_validate(
            {
                **found,
                "location": spec.location,
                "fixed": fixed(spec.workspaces[key]),
                "serverless": spec.workspaces[key].serverless_compute is not None,
            }
        )
    return WorkspaceOutput.model_validate(
        {**found, "location": spec.existing_workspaces[key].location or spec.location}
    )
