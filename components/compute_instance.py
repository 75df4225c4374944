"""A compute instance: one person's workstation in a workspace."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from pulumi_azure_native import machinelearningservices as ml

from components.aml_compute import identity, replaced
from components.base import Component
from specs.base import fixed, iso8601, replacing
from specs.compute_instance import ComputeInstanceSpec
from specs.targets import ComputeInstanceTarget

if TYPE_CHECKING:
    from datetime import timedelta

    import pulumi

    from components.base import ComputeDependencies, Place
    from specs.compute_instance import AssignedUser, Recurrence, Script, SetupScripts, StartStop


class ComputeInstance(Component):
    """The instance: its ARM id."""

    id: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        spec: ComputeInstanceSpec,
        place: Place,
        dependencies: ComputeDependencies,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("ComputeInstance", name, opts)
        compute = ml.Compute(
            name,
            ml.ComputeArgs(
                resource_group_name=dependencies.resource_group,
                workspace_name=dependencies.workspace_name,
                compute_name=name,
                location=dependencies.location,
                identity=identity(spec.identity, dependencies),
                properties=ml.ComputeInstanceArgs(
                    compute_type=spec.kind,
                    description=spec.description,
                    disable_local_auth=spec.disable_local_auth,
                    properties=_properties(spec, dependencies),
                ),
                tags=place.tagged(spec.tags),
            ),
            replaced(self, replacing(ComputeInstanceSpec), dependencies),
        )
        self.id = compute.id
        self.register_outputs({"id": self.id})


def _properties(spec: ComputeInstanceSpec, dependencies: ComputeDependencies) -> ml.ComputeInstancePropertiesArgs:
    public_ip, idle = spec.enable_node_public_ip, spec.idle_time_before_shutdown
    schedules = [_schedule(line) for line in spec.schedules]
    return ml.ComputeInstancePropertiesArgs(
        vm_size=spec.vm_size,
        subnet=ml.ResourceIdArgs(id=dependencies.subnet_id(spec.subnet)) if spec.subnet else None,
        enable_node_public_ip=public_ip if public_ip is not None else not dependencies.private,
        application_sharing_policy=spec.application_sharing_policy,
        personal_compute_instance_settings=_person(spec.assigned_user),
        ssh_settings=ml.ComputeInstanceSshSettingsArgs(
            ssh_public_access=spec.ssh_settings.ssh_public_access,
            admin_public_key=spec.ssh_settings.admin_public_key,
        ),
        idle_time_before_shutdown=iso8601(idle) if idle else None,
        schedules=ml.ComputeSchedulesArgs(compute_start_stop=schedules) if schedules else None,
        setup_scripts=_scripts(spec.setup_scripts),
        enable_sso=spec.enable_sso,
    )


def _person(user: AssignedUser | None) -> ml.PersonalComputeInstanceSettingsArgs | None:
    if user is None:
        return None
    assigned = ml.AssignedUserArgs(object_id=user.object_id, tenant_id=user.tenant_id)
    return ml.PersonalComputeInstanceSettingsArgs(assigned_user=assigned)


def _schedule(line: StartStop) -> ml.ComputeStartStopScheduleArgs:
    """Render one line of the timetable (azure-rest-api-specs, ComputeStartStopSchedule)."""
    cron = line.cron and ml.CronArgs(
        expression=line.cron.expression, start_time=line.cron.start_time, time_zone=line.cron.time_zone
    )
    return ml.ComputeStartStopScheduleArgs(
        action=line.action,
        status=line.status,
        trigger_type=ml.ComputeTriggerType.CRON if cron else ml.ComputeTriggerType.RECURRENCE,
        cron=cron,
        recurrence=_recurrence(line.recurrence) if line.recurrence else None,
    )


def _recurrence(spec: Recurrence) -> ml.RecurrenceArgs:
    when = spec.schedule
    return ml.RecurrenceArgs(
        frequency=spec.frequency,
        interval=spec.interval,
        start_time=spec.start_time,
        time_zone=spec.time_zone,
        schedule=ml.ComputeRecurrenceScheduleArgs(
            hours=list(when.hours),
            minutes=list(when.minutes),
            week_days=list(when.week_days) or None,
            month_days=list(when.month_days) or None,
        )
        if when
        else None,
    )


def _scripts(spec: SetupScripts | None) -> ml.SetupScriptsArgs | None:
    if spec is None or not (spec.creation_script or spec.startup_script):
        return None
    return ml.SetupScriptsArgs(
        scripts=ml.ScriptsToExecuteArgs(
            creation_script=_script(spec.creation_script) if spec.creation_script else None,
            startup_script=_script(spec.startup_script) if spec.startup_script else None,
        )
    )


def _script(spec: Script) -> ml.ScriptReferenceArgs:
    """Render a script; the text of an inline one goes as base64 (azure-docs how-to-customize-compute-instance)."""
    inline = spec.script_source == "inline"
    return ml.ScriptReferenceArgs(
        script_source=spec.script_source,
        script_data=base64.b64encode(spec.script_data.encode()).decode() if inline else spec.script_data,
        script_arguments=spec.script_arguments,
        timeout=script_timeout(spec.timeout) if spec.timeout else None,
    )


def script_timeout(limit: timedelta) -> str:
    """Write a script's limit as the service takes it: minutes, `m` behind; it refuses ISO 8601.

    azure-docs how-to-customize-compute-instance: a floating point number with a suffix. Users report the answer
    "It should be a floating point number followed by suffix 'm' for minutes" for PT20M.
    """
    return f"{limit.total_seconds() / 60:g}m"


def target(name: str, workspace: str, spec: ComputeInstanceSpec, id_: str) -> ComputeInstanceTarget:
    """Describe the instance for `runtime`, from its spec and id only."""
    return ComputeInstanceTarget(name=name, id=id_, workspace=workspace, fixed=fixed(spec), vm_size=spec.vm_size)
