"""An AmlCompute cluster in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import machinelearningservices as ml

from components.base import Component, Place, Secrets
from components.identity import UserAssignedIdentity, identity_ids
from specs.base import iso8601
from specs.compute import AmlComputeTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.workspace import Workspace
    from specs.aml_compute import AmlComputeSpec

REPLACING = (
    "location",
    "properties.properties.enableNodePublicIp",
    "properties.properties.osType",
    "properties.properties.remoteLoginPortPublicAccess",
    "properties.properties.subnet",
    "properties.properties.userAccountCredentials",
    "properties.properties.vmPriority",
    "properties.properties.vmSize",
    "properties.disableLocalAuth",
)
"""What the service fixes at creation. The vendor's provider replaces for none of them by itself (replacement.go), and
a PUT with another size was seen to answer with the new one and keep the old (azure-rest-api-specs#18889)."""


@dataclass(frozen=True, slots=True)
class ComputeDependencies:
    """What a compute uses and does not own."""

    workspace: Workspace
    workspace_key: str
    private: bool
    """Whether the workspace is closed to the public network."""
    identities: Mapping[str, UserAssignedIdentity]
    subnet_ids: Mapping[str, pulumi.Output[str]]
    secrets: Secrets


class AmlCompute(Component):
    """The cluster: its ARM id."""

    id: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        spec: AmlComputeSpec,
        place: Place,
        dependencies: ComputeDependencies,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("AmlCompute", name, opts)
        identity = spec.identity
        compute = ml.Compute(
            name,
            ml.ComputeArgs(
                resource_group_name=place.resource_group,
                workspace_name=dependencies.workspace.name,
                compute_name=name,
                location=spec.location or place.location,
                identity=ml.ManagedServiceIdentityArgs(
                    type=identity.type,
                    user_assigned_identities=identity_ids(identity, dependencies.identities) or None,
                )
                if identity
                else None,
                properties=ml.AmlComputeArgs(
                    compute_type=spec.kind,
                    description=spec.description,
                    disable_local_auth=spec.disable_local_auth,
                    properties=_properties(spec, dependencies),
                ),
                tags=place.tagged(spec.tags),
            ),
            pulumi.ResourceOptions(parent=self, replace_on_changes=list(REPLACING), delete_before_replace=True),
        )
        self.id = compute.id
        self.register_outputs({"id": self.id})


def _properties(spec: AmlComputeSpec, dependencies: ComputeDependencies) -> ml.AmlComputePropertiesArgs:
    public_ip = spec.enable_node_public_ip
    return ml.AmlComputePropertiesArgs(
        vm_size=spec.vm_size,
        vm_priority=spec.vm_priority,
        os_type=ml.OsType.LINUX,
        scale_settings=ml.ScaleSettingsArgs(
            min_node_count=spec.min_node_count,
            max_node_count=spec.max_node_count,
            node_idle_time_before_scale_down=iso8601(spec.node_idle_time_before_scale_down),
        ),
        subnet=ml.ResourceIdArgs(id=_subnet_id(spec.subnet, dependencies.subnet_ids)) if spec.subnet else None,
        enable_node_public_ip=public_ip if public_ip is not None else not dependencies.private,
        remote_login_port_public_access=spec.remote_login_port_public_access,
        user_account_credentials=_account(spec, dependencies.secrets),
    )


def _subnet_id(subnet: str, known: Mapping[str, pulumi.Output[str]]) -> pulumi.Input[str]:
    return subnet if subnet.startswith("/") else known[subnet]


def _account(spec: AmlComputeSpec, secrets: Secrets) -> ml.UserAccountCredentialsArgs | None:
    account = spec.user_account_credentials
    if account is None:
        return None
    return ml.UserAccountCredentialsArgs(
        admin_user_name=account.admin_user_name,
        admin_user_ssh_public_key=account.admin_user_ssh_public_key,
        # The vendor's SDK marks no secret: the wrapping is what keeps it out of state in clear.
        admin_user_password=secrets(account.admin_user_password) if account.admin_user_password else None,
    )


def target(name: str, workspace: str, spec: AmlComputeSpec, id_: str) -> AmlComputeTarget:
    """Describe the cluster for `runtime`, from its spec and id only."""
    return AmlComputeTarget(
        name=name,
        id=id_,
        workspace=workspace,
        vm_size=spec.vm_size,
        vm_priority=spec.vm_priority,
        min_node_count=spec.min_node_count,
        max_node_count=spec.max_node_count,
    )
