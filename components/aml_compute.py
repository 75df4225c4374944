"""An AmlCompute cluster in a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import machinelearningservices as ml

from components.base import Component
from specs.aml_compute import AmlComputeSpec
from specs.base import fixed, iso8601, replacing
from specs.targets import AmlComputeTarget

if TYPE_CHECKING:
    from components.base import ComputeDependencies, Place, Secrets
    from specs.base import Identity


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
        compute = ml.Compute(
            name,
            ml.ComputeArgs(
                resource_group_name=dependencies.resource_group,
                workspace_name=dependencies.workspace_name,
                compute_name=name,
                location=spec.location or dependencies.location,
                identity=identity(spec.identity, dependencies),
                properties=ml.AmlComputeArgs(
                    compute_type=spec.kind,
                    description=spec.description,
                    disable_local_auth=spec.disable_local_auth,
                    properties=_properties(spec, dependencies),
                ),
                tags=place.tagged(spec.tags),
            ),
            replaced(self, replacing(AmlComputeSpec), dependencies),
        )
        self.id = compute.id
        self.register_outputs({"id": self.id})


def replaced(
    parent: pulumi.Resource, on_changes: list[str], dependencies: ComputeDependencies
) -> pulumi.ResourceOptions:
    """Return a compute's options: what the service fixes at creation replaces it, the old one going first.

    The vendor's provider replaces a compute for none of its properties by itself (replacement.go), and a PUT with
    another size was seen to answer with the new one and keep the old (azure-rest-api-specs#18889).
    """
    return pulumi.ResourceOptions(
        parent=parent,
        depends_on=list(dependencies.after),
        replace_on_changes=on_changes,
        delete_before_replace=True,
    )


def identity(spec: Identity | None, dependencies: ComputeDependencies) -> ml.ManagedServiceIdentityArgs | None:
    """Render who the jobs on a compute are."""
    if spec is None:
        return None
    ids = dependencies.identity_ids(spec)
    return ml.ManagedServiceIdentityArgs(type=spec.type, user_assigned_identities=ids or None)


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
        subnet=ml.ResourceIdArgs(id=dependencies.subnet_id(spec.subnet)) if spec.subnet else None,
        enable_node_public_ip=public_ip if public_ip is not None else not dependencies.private,
        remote_login_port_public_access=spec.remote_login_port_public_access,
        user_account_credentials=_account(spec, dependencies.secrets),
    )


def _account(spec: AmlComputeSpec, secrets: Secrets) -> ml.UserAccountCredentialsArgs | None:
    account = spec.user_account_credentials
    if account is None:
        return None
    password = account.admin_user_password
    return ml.UserAccountCredentialsArgs(
        admin_user_name=account.admin_user_name,
        admin_user_ssh_public_key=account.admin_user_ssh_public_key,
        # The vendor's SDK marks no secret: that `secrets` answers with one is what keeps it out of state in clear.
        admin_user_password=secrets(password) if password else None,
    )


def target(name: str, workspace: str, spec: AmlComputeSpec, id_: str) -> AmlComputeTarget:
    """Describe the cluster for `runtime`, from its spec and id only."""
    return AmlComputeTarget(
        name=name,
        id=id_,
        workspace=workspace,
        fixed=fixed(spec),
        vm_size=spec.vm_size,
        vm_priority=spec.vm_priority,
        min_node_count=spec.min_node_count,
        max_node_count=spec.max_node_count,
    )
