"""AmlCompute: a cluster that the workspace scales between `min_node_count` and `max_node_count`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from specs.base import (
    ConfigKey,
    Duration,
    Fault,
    Identity,
    Location,
    Named,
    OpenSshKey,
    Spec,
    Tags,
    UserName,
    VmSize,
    Wire,
    raise_faults,
)


class UserAccountCredentials(Spec):
    """The account that may log in to the nodes by SSH. Immutable."""

    admin_user_name: Annotated[UserName, Wire("adminUserName", "replace")]
    """Its name."""
    admin_user_ssh_public_key: Annotated[OpenSshKey | None, Wire("adminUserSshPublicKey", "replace")] = None
    """Its public key, in OpenSSH's one-line form."""
    admin_user_password: Annotated[ConfigKey | None, Wire("adminUserPassword", "replace")] = None
    """Name of the Pulumi config key that holds its password (`invoke secret NAME`); never the password itself."""


class AmlComputeSpec(Spec):
    """A cluster as declared. The fields are those of ARM's AmlComputeProperties, 2025-12-01."""

    kind: Annotated[Literal["AmlCompute"], Wire("properties.computeType", "replace")]
    """ARM's `computeType`."""
    vm_size: Annotated[VmSize, Wire("properties.properties.vmSize", "replace")]
    """Size of every node, e.g. `Standard_D2_v2`. Changing it replaces the cluster."""
    vm_priority: Annotated[Literal["Dedicated", "LowPriority"], Wire("properties.properties.vmPriority", "replace")] = (
        "Dedicated"
    )
    """LowPriority nodes cost about a fifth and can be taken away at any time. Changing it replaces the cluster."""
    min_node_count: Annotated[
        Annotated[int, Field(ge=0, le=65_000)], Wire("properties.properties.scaleSettings.minNodeCount")
    ] = 0
    """Nodes kept even when idle; 0 costs nothing while nothing runs."""
    max_node_count: Annotated[
        Annotated[int, Field(ge=1, le=65_000)], Wire("properties.properties.scaleSettings.maxNodeCount")
    ]
    """Most nodes at once; the subscription's quota of the family can be smaller."""
    node_idle_time_before_scale_down: Annotated[
        Duration, Wire("properties.properties.scaleSettings.nodeIdleTimeBeforeScaleDown")
    ] = timedelta(seconds=120)
    """How long a node idles before it goes; seconds or ISO 8601. The service's default too."""
    subnet: Annotated[Named | None, Wire("properties.properties.subnet", "replace")] = None
    """Name of a subnet of this stack's `network`, `NAME@STACK` of another stack's, or the ARM id of an existing one, in
    the cluster's region; absent: the service's own network. Changing it replaces the cluster."""
    enable_node_public_ip: Annotated[bool | None, Wire("properties.properties.enableNodePublicIp", "replace")] = None
    """Whether nodes get a public address. Absent: no where the workspace is private; else yes, because the service
    can't reach the nodes of an open workspace otherwise. Changing it replaces the cluster."""
    identity: Annotated[Identity | None, Wire("identity")] = None
    """Who the jobs on it are; absent: nobody."""
    remote_login_port_public_access: Annotated[
        Literal["Enabled", "Disabled", "NotSpecified"],
        Wire("properties.properties.remoteLoginPortPublicAccess", "replace"),
    ] = "Disabled"
    """Whether SSH is open on the nodes. Changing it replaces the cluster."""
    user_account_credentials: Annotated[
        UserAccountCredentials | None, Wire("properties.properties.userAccountCredentials", "replace")
    ] = None
    """The SSH account; needs `disable_local_auth: false`."""
    disable_local_auth: Annotated[bool, Wire("properties.disableLocalAuth")] = True
    """Refuse keys and passwords on the nodes; Entra ID only."""
    location: Annotated[Location | None, Wire("location", "replace")] = None
    """Region of the cluster; absent: the workspace's. Changing it replaces the cluster."""
    description: Annotated[Annotated[str, Field(max_length=5000)] | None, Wire("properties.description")] = None
    """Free text."""
    tags: Annotated[Tags, Wire("tags")] = {}
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
