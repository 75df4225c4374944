"""ComputeInstance: a workstation of the workspace, one node, always on unless it is stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from specs.base import Duration, Fault, Identity, Named, OpenSshKey, Spec, Tags, VmSize, Wire, raise_faults, worded

SHORTEST_IDLE, LONGEST_IDLE = timedelta(minutes=15), timedelta(days=3)
"""azure-docs how-to-create-compute-instance, idle shutdown: between 15 minutes and 3 days."""
Guid = Annotated[
    str,
    worded(
        "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
        "must be an id of Entra ID, written like 11111111-2222-3333-4444-555555555555",
    ),
]
CronField = r"(\*|[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)(/[0-9]+)?"
CronLine = Annotated[
    str,
    worded(
        rf"{CronField}( {CronField}){{4}}",
        "must be crontab's five fields (minute, hour, day of the month, month, day of the week), e.g. 30 18 * * 1-5",
    ),
]
LocalTime = Annotated[
    str,
    worded(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?",
        "must be a moment without a zone, such as 2026-01-31T08:00:00; the zone is time_zone",
    ),
]
TimeZone = Annotated[
    str,
    worded(
        r"[A-Za-z][A-Za-z0-9 .()+-]*",
        "must be a Windows time zone name, such as W. Europe Standard Time; Azure takes none of the form Europe/Berlin",
    ),
]
WeekDay = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class SshSettings(Spec):
    """Whether and for whom SSH is open. Fixed at creation."""

    ssh_public_access: Annotated[Literal["Enabled", "Disabled"], Wire("sshPublicAccess", "replace")] = "Disabled"
    """Open the port of the instance."""
    admin_public_key: Annotated[OpenSshKey | None, Wire("adminPublicKey", "replace")] = None
    """Who may log in, as azureuser; needed where the port is open."""


class AssignedUser(Spec):
    """The one person who may use a personal instance, where it is made for somebody else."""

    object_id: Annotated[Guid, Wire("assignedUser.objectId", "replace")]
    """Their object id in Entra ID."""
    tenant_id: Annotated[Guid, Wire("assignedUser.tenantId", "replace")]
    """Their tenant."""


class Cron(Spec):
    """A trigger in crontab's words."""

    expression: CronLine
    """Five fields: minute, hour, day of the month, month, day of the week, e.g. `30 18 * * *`."""
    start_time: LocalTime | None = None
    """First moment, ISO 8601 without a zone."""
    time_zone: TimeZone = "UTC"
    """A Windows time zone name, as Azure writes them, e.g. `W. Europe Standard Time`."""


LONGEST_SCRIPT = timedelta(minutes=25)
"""azure-docs how-to-customize-compute-instance."""


class RecurrenceSchedule(Spec):
    """When in each period."""

    hours: list[Annotated[int, Field(ge=0, le=23)]] = Field(min_length=1)
    """Hours of the day."""
    minutes: list[Annotated[int, Field(ge=0, le=59)]] = Field(min_length=1)
    """Minutes of the hour."""
    week_days: list[WeekDay] = []
    """Days of the week; for `frequency: Week`."""
    month_days: list[Annotated[int, Field(ge=1, le=31)]] = []
    """Days of the month; for `frequency: Month`."""


class Recurrence(Spec):
    """A trigger that comes back every so many periods."""

    frequency: Literal["Minute", "Hour", "Day", "Week", "Month"]
    """The period."""
    interval: Annotated[int, Field(ge=1, le=1000)]
    """Every so many periods."""
    start_time: LocalTime | None = None
    """First moment, ISO 8601 without a zone."""
    time_zone: TimeZone = "UTC"
    """A Windows time zone name, as Azure writes them."""
    schedule: RecurrenceSchedule | None = None
    """When in each period."""


class StartStop(Spec):
    """One line of the timetable."""

    action: Literal["Start", "Stop"]
    """What happens then."""
    status: Literal["Enabled", "Disabled"] = "Enabled"
    """Disabled: kept, not acted on."""
    cron: Cron | None = None
    """When, in crontab's words; this or `recurrence`."""
    recurrence: Recurrence | None = None
    """When, as a period; this or `cron`."""


class Script(Spec):
    """A shell script that the service runs on the instance, as root."""

    script_source: Literal["inline", "workspaceStorage"] = "inline"
    """Where it is: in this file, or a path in the workspace's file share."""
    script_data: Annotated[str, Field(min_length=1, max_length=65_536)]
    """The script's text, or its path under Users/. Never a secret: anybody who reads the workspace reads it."""
    script_arguments: str | None = None
    """Its arguments, one shell line."""
    timeout: Duration | None = None
    """How long it may take; absent: the service's 15 minutes, its most 25."""


class SetupScripts(Spec):
    """What prepares the instance."""

    creation_script: Annotated[Script | None, Wire("scripts.creationScript", "replace")] = None
    """Runs once, when the instance is made."""
    startup_script: Annotated[Script | None, Wire("scripts.startupScript", "replace")] = None
    """Runs at every start."""


class ComputeInstanceSpec(Spec):
    """An instance as declared. The fields are those of ARM's ComputeInstanceProperties, 2025-12-01.

    Its region is the workspace's: only clusters may lie elsewhere (azure-docs how-to-create-attach-compute-studio).
    """

    kind: Annotated[Literal["ComputeInstance"], Wire("properties.computeType", "replace")]
    """ARM's `computeType`."""
    vm_size: Annotated[VmSize, Wire("properties.properties.vmSize", "replace")]
    """Its size, e.g. `Standard_DS3_v2`. Changing it replaces the instance, and what is on its disk is lost."""
    subnet: Annotated[Named | None, Wire("properties.properties.subnet", "replace")] = None
    """Name of a subnet of this stack's `network`, of another stack's, or an ARM id; absent: the service's network."""
    enable_node_public_ip: Annotated[bool | None, Wire("properties.properties.enableNodePublicIp", "replace")] = None
    """Whether it gets a public address. Absent: no where the workspace is private; else yes."""
    ssh_settings: Annotated[SshSettings, Wire("properties.properties.sshSettings", "replace")] = SshSettings()
    """SSH; off by default."""
    assigned_user: Annotated[
        AssignedUser | None, Wire("properties.properties.personalComputeInstanceSettings", "replace")
    ] = None
    """Whose it is; absent: whoever deploys."""
    application_sharing_policy: Annotated[
        Literal["Personal", "Shared"], Wire("properties.properties.applicationSharingPolicy", "replace")
    ] = "Personal"
    """Shared: everybody in the workspace may open its applications. The service's own default is Shared; ours is not,
    because whoever opens them acts as the instance."""
    idle_time_before_shutdown: Annotated[Duration | None, Wire("properties.properties.idleTimeBeforeShutdown")] = (
        timedelta(hours=1)
    )
    """Stop it after so long without use; 15 minutes to 3 days; null: never. The service's default is never; an instance
    is paid for while it runs."""
    schedules: Annotated[list[StartStop], Wire("properties.properties.schedules.computeStartStop")] = []
    """When it starts and stops by itself."""
    setup_scripts: Annotated[SetupScripts | None, Wire("properties.properties.setupScripts", "replace")] = None
    """What prepares it."""
    enable_sso: Annotated[bool, Wire("properties.properties.enableSSO", "replace")] = True
    """Whether its user acts as themselves in it (single sign-on); false: they sign in by hand."""
    identity: Annotated[Identity | None, Wire("identity")] = None
    """Who the jobs on it are; absent: nobody."""
    disable_local_auth: Annotated[bool, Wire("properties.disableLocalAuth")] = True
    """Refuse keys and passwords on it; Entra ID only."""
    description: Annotated[Annotated[str, Field(max_length=5000)] | None, Wire("properties.description")] = None
    """Free text."""
    tags: Annotated[Tags, Wire("tags")] = {}
    """Added to the stack's tags."""

    @model_validator(mode="after")
    def _possible(self) -> ComputeInstanceSpec:
        faults = []
        ssh, idle = self.ssh_settings, self.idle_time_before_shutdown
        if ssh.ssh_public_access == "Enabled" and ssh.admin_public_key is None:
            message = "SSH is open, so it needs a key: give admin_public_key."
            faults.append(Fault(at=("ssh_settings",), message=message, rule="ssh-account"))
        if ssh.ssh_public_access == "Enabled" and self.disable_local_auth:
            message = "SSH needs disable_local_auth: false, because SSH accounts are local ones."
            faults.append(Fault(at=("ssh_settings", "ssh_public_access"), message=message, rule="local-auth"))
        if idle is not None and not SHORTEST_IDLE <= idle <= LONGEST_IDLE:
            message = "must be between 15 minutes (PT15M) and 3 days (P3D), or null for never."
            faults.append(Fault(at=("idle_time_before_shutdown",), message=message, rule="idle-time"))
        for index, line in enumerate(self.schedules):
            if (line.cron is None) == (line.recurrence is None):
                message = "needs one of cron and recurrence, not both."
                faults.append(Fault(at=("schedules", index), message=message, rule="schedule-trigger"))
            faults += _days(line, index)
        raise_faults([*faults, *self._scripts()])
        return self

    def _scripts(self) -> list[Fault]:
        scripts = self.setup_scripts or SetupScripts()
        named_ones = {"creation_script": scripts.creation_script, "startup_script": scripts.startup_script}
        message = "must be 25 minutes (PT25M) or less. Shorten it, or do the rest in a job."
        return [
            Fault(at=("setup_scripts", name, "timeout"), message=message, rule="script-timeout")
            for name, script in named_ones.items()
            if script and script.timeout and script.timeout > LONGEST_SCRIPT
        ]


def _days(line: StartStop, index: int) -> list[Fault]:
    """Check that days are those of the period; the service takes no others."""
    recurrence = line.recurrence
    schedule = recurrence.schedule if recurrence else None
    if recurrence is None or schedule is None:
        return []
    return [
        Fault(
            at=("schedules", index, "recurrence", "schedule", field),
            message=f"goes with frequency: {frequency}; this is {recurrence.frequency}. Change one of the two.",
            rule="schedule-days",
        )
        for field, frequency, given in (
            ("week_days", "Week", schedule.week_days),
            ("month_days", "Month", schedule.month_days),
        )
        if given and recurrence.frequency != frequency
    ]
