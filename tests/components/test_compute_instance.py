from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from components import compute
from components.compute_instance import script_timeout
from specs.compute_instance import ComputeInstanceSpec
from tests.components.compute_kit import COMPUTE, PUBLIC_KEY, declare

INSTANCE = {"kind": "ComputeInstance", "vm_size": "Standard_DS3_v2"}
USER = {
    "object_id": "11111111-1111-4111-8111-111111111111",
    "tenant_id": "22222222-2222-4222-8222-222222222222",
}


def spec(**fields: object) -> ComputeInstanceSpec:
    return ComputeInstanceSpec.model_validate({**INSTANCE, **fields})


def test_an_instance_is_closed_personal_and_stops_by_itself() -> None:
    made = declare("ada-box", spec())
    assert made.inputs == {
        "ada-box": (
            COMPUTE,
            {
                "resourceGroupName": "research-group",
                "workspaceName": "research",
                "computeName": "ada-box",
                "location": "northeurope",
                "tags": {"owner": "ada"},
                "properties": {
                    "computeType": "ComputeInstance",
                    "disableLocalAuth": True,
                    "properties": {
                        "vmSize": "Standard_DS3_v2",
                        "enableNodePublicIp": True,
                        "applicationSharingPolicy": "Personal",
                        "computeInstanceAuthorizationType": "personal",
                        "sshSettings": {"sshPublicAccess": "Disabled"},
                        "idleTimeBeforeShutdown": "PT1H",
                        "enableSSO": True,
                    },
                },
            },
        )
    }


def test_an_instance_of_a_private_workspace_gets_no_public_address() -> None:
    properties = declare("ada-box", spec(), private=True).of("ada-box")["properties"]
    assert isinstance(properties, dict)
    assert properties["properties"]["enableNodePublicIp"] is False


def test_every_option_of_an_instance_reaches_arm() -> None:
    cron = {"expression": "30 7 * * 1-5", "start_time": "2026-01-01T00:00:00", "time_zone": "W. Europe Standard Time"}
    recurrence = {
        "frequency": "Week",
        "interval": 1,
        "schedule": {"hours": [18], "minutes": [0, 30], "week_days": ["Monday", "Friday"]},
    }
    made = declare(
        "ada-box",
        spec(
            subnet="nodes",
            enable_node_public_ip=False,
            ssh_settings={"ssh_public_access": "Enabled", "admin_public_key": PUBLIC_KEY},
            disable_local_auth=False,
            assigned_user=USER,
            application_sharing_policy="Shared",
            idle_time_before_shutdown=None,
            schedules=[
                {"action": "Start", "cron": cron},
                {"action": "Stop", "status": "Disabled", "recurrence": recurrence},
            ],
            setup_scripts={
                "creation_script": {
                    "script_data": "pip install polars\n",
                    "script_arguments": "a b",
                    "timeout": "PT20M",
                },
                "startup_script": {"script_source": "workspaceStorage", "script_data": "Users/ada/start.sh"},
            },
            enable_sso=False,
            identity={"type": "SystemAssigned"},
            description="Ada's",
            tags={"cost": "7"},
        ),
    )
    inputs = made.of("ada-box")
    assert inputs["identity"] == {"type": "SystemAssigned"}
    assert inputs["tags"] == {"owner": "ada", "cost": "7"}
    assert inputs["properties"] == {
        "computeType": "ComputeInstance",
        "description": "Ada's",
        "disableLocalAuth": False,
        "properties": {
            "vmSize": "Standard_DS3_v2",
            "subnet": {"id": "/subscriptions/s/nodes"},
            "enableNodePublicIp": False,
            "applicationSharingPolicy": "Shared",
            "computeInstanceAuthorizationType": "personal",
            "personalComputeInstanceSettings": {
                "assignedUser": {"objectId": USER["object_id"], "tenantId": USER["tenant_id"]}
            },
            "sshSettings": {"sshPublicAccess": "Enabled", "adminPublicKey": PUBLIC_KEY},
            "schedules": {
                "computeStartStop": [
                    {
                        "action": "Start",
                        "status": "Enabled",
                        "triggerType": "Cron",
                        "cron": {
                            "expression": "30 7 * * 1-5",
                            "startTime": "2026-01-01T00:00:00",
                            "timeZone": "W. Europe Standard Time",
                        },
                    },
                    {
                        "action": "Stop",
                        "status": "Disabled",
                        "triggerType": "Recurrence",
                        "recurrence": {
                            "frequency": "Week",
                            "interval": 1,
                            "timeZone": "UTC",
                            "schedule": {"hours": [18], "minutes": [0, 30], "weekDays": ["Monday", "Friday"]},
                        },
                    },
                ]
            },
            "setupScripts": {
                "scripts": {
                    "creationScript": {
                        "scriptSource": "inline",
                        "scriptData": base64.b64encode(b"pip install polars\n").decode(),
                        "scriptArguments": "a b",
                        "timeout": "20m",
                    },
                    "startupScript": {"scriptSource": "workspaceStorage", "scriptData": "Users/ada/start.sh"},
                }
            },
            "enableSSO": False,
        },
    }


@pytest.mark.parametrize(("seconds", "words"), [(900, "15m"), (90, "1.5m"), (20, "0.333333m")])
def test_a_scripts_limit_is_written_in_minutes(seconds: int, words: str) -> None:
    assert script_timeout(timedelta(seconds=seconds)) == words


def test_what_the_service_fixes_replaces_the_instance_and_the_old_one_goes_first() -> None:
    options = declare("ada-box", spec()).options["ada-box"]
    assert options.replace_on_changes == [
        "properties.computeType",
        "properties.properties.applicationSharingPolicy",
        "properties.properties.enableNodePublicIp",
        "properties.properties.enableSSO",
        "properties.properties.personalComputeInstanceSettings",
        "properties.properties.setupScripts",
        "properties.properties.sshSettings",
        "properties.properties.subnet",
        "properties.properties.vmSize",
    ]
    assert options.delete_before_replace is True


def test_an_instances_target_holds_its_size_and_its_fixed_fields() -> None:
    target = compute.target("ada-box", "research", spec(assigned_user=USER), "/id")
    assert target.model_dump() == {
        "kind": "ComputeInstance",
        "name": "ada-box",
        "id": "/id",
        "workspace": "research",
        "fixed": {
            "kind": '"ComputeInstance"',
            "vm_size": '"Standard_DS3_v2"',
            "ssh_settings.ssh_public_access": '"Disabled"',
            "assigned_user.object_id": f'"{USER["object_id"]}"',
            "assigned_user.tenant_id": f'"{USER["tenant_id"]}"',
            "application_sharing_policy": '"Personal"',
            "enable_sso": "true",
        },
        "vm_size": "Standard_DS3_v2",
    }
