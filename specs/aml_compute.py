"""AmlCompute: a cluster that the workspace scales between `min_node_count` and `max_node_count`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from specs.base import ConfigKey, Duration, Fault, Identity, Location, Spec, Tags, named, raise_faults

VmSize = Annotated[
    str, named("vm-size", r"(?i:standard|basic)_[A-Za-z0-9_]+", "a VM size is written like Standard_D2_v2")
]


class UserAccountCredentials(Spec):
    """The account that may log in to the nodes by SSH. Immutable."""

    admin_user_name: Annotated[str, Field(min_length=1, max_length=32)]
    """Its name."""
    admin_user_ssh_public_key: str | None = None
    """Its public key, in OpenSSH's one-line form."""
    admin_user_password: ConfigKey | None = None
    """Name of the Pulumi config key that holds its password (`invoke secret NAME`); never the password itself."""


class AmlComputeSpec(Spec):
    """A cluster as declared. The fields are those of ARM's AmlComputeProperties, 2025-12-01."""

    kind: Literal["AmlCompute"]
    """ARM's `computeType`."""
    vm_size: VmSize
    """Size of every node, e.g. `Standard_D2_v2`. Changing it replaces the cluster."""
    vm_priority: Literal["Dedicated", "LowPriority"] = "Dedicated"
    """LowPriority nodes cost about a fifth and can be taken away at any time. Changing it replaces the cluster."""
    min_node_count: Annotated[int, Field(ge=0, le=65_000)] = 0
    """Nodes kept even when idle; 0 costs nothing while nothing runs."""
    max_node_count: Annotated[int, Field(ge=1, le=65_000)]
    """Most nodes at once; the subscription's quota of the family can be smaller."""
    node_idle_time_before_scale_down: Duration = timedelta(seconds=120)
    """How long a node idles before it goes; seconds or ISO 8601. The service's default too."""
    subnet: str | None = None
    """Name of a subnet of this stack's `network`, or the ARM id of an existing one; absent: the service's own network.
    Changing it replaces the cluster."""
    enable_node_public_ip: bool | None = None
    """Whether nodes get a public address. Absent: no where the workspace is private; else yes, because the service
    can't reach the nodes of an open workspace otherwise. Changing it replaces the cluster."""
    identity: Identity | None = None
    """Who the jobs on it are; absent: nobody."""
    remote_login_port_public_access: Literal["Enabled", "Disabled", "NotSpecified"] = "Disabled"
    """Whether SSH is open on the nodes. Changing it replaces the cluster."""
    user_account_credentials: UserAccountCredentials | None = None
    """The SSH account; needs `disable_local_auth: false`."""
    disable_local_auth: bool = True
    """Refuse keys and passwords on the nodes; Entra ID only."""
    location: Location | None = None
    """Region of the cluster; absent: the workspace's. Changing it replaces the cluster."""
    description: Annotated[str, Field(max_length=5000)] | None = None
    """Free text."""
    tags: Tags = {}
    """Added to the stack's tags."""

    @model_validator(mode="after")
    def _possible(self) -> AmlComputeSpec:
        faults = []
        if self.min_node_count > self.max_node_count:
            message = f"must not be above max_node_count ({self.max_node_count}). Allowed: 0 to {self.max_node_count}."
            faults.append(Fault(at=("min_node_count",), message=message, rule="node-range"))
        account = self.user_account_credentials
        if account and self.disable_local_auth:
            message = "needs disable_local_auth: false, because SSH accounts are local ones."
            faults.append(Fault(at=("user_account_credentials",), message=message, rule="local-auth"))
        if account and not (account.admin_user_ssh_public_key or account.admin_user_password):
            message = "needs admin_user_ssh_public_key or admin_user_password."
            faults.append(Fault(at=("user_account_credentials",), message=message, rule="ssh-account"))
        raise_faults(faults)
        return self
