"""What Azure has is read back in the words of a stack file."""

from __future__ import annotations

from specs.aml_compute import AmlComputeSpec
from specs.base import Wire
from specs.compute_instance import ComputeInstanceSpec
from specs.edit import Absent
from specs.network import Subnet
from specs.reading import Json, findings, shaped
from specs.workspace import OutboundRule

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/training"
NAMES = {ID.lower(): "training"}


def read(model: type, inputs: dict[str, Json], *changed: str) -> dict[str, object]:
    return {item.field: item.value for item in findings(model, inputs, list(changed), NAMES)}


def test_a_scalar_is_read_at_its_wire() -> None:
    inputs: dict[str, Json] = {"properties": {"properties": {"scaleSettings": {"maxNodeCount": 7}}}}
    path = "properties.properties.scaleSettings.maxNodeCount"
    (found,) = findings(AmlComputeSpec, inputs, [path], NAMES)
    assert (found.field, found.wire, found.value) == ("max_node_count", Wire(path), 7)


def test_a_change_above_a_field_is_a_change_of_it() -> None:
    inputs: dict[str, Json] = {"properties": {"properties": {"scaleSettings": {"maxNodeCount": 7}}}}
    assert read(AmlComputeSpec, inputs, "properties.properties.scaleSettings") == {
        "min_node_count": None, "max_node_count": 7, "node_idle_time_before_scale_down": None,
    }  # fmt: skip


def test_identities_are_read_by_the_names_of_the_file() -> None:
    inputs: dict[str, Json] = {"identity": {"type": "UserAssigned", "userAssignedIdentities": [ID, "/other"]}}
    assert read(AmlComputeSpec, inputs, "identity.userAssignedIdentities[1]", "identity.type") == {
        "identity.type": "UserAssigned", "identity.user_assigned_identities": ["training", "/other"],
    }  # fmt: skip


def test_a_value_that_is_gone_takes_its_field_away_or_says_null_where_absence_means_another() -> None:
    assert read(AmlComputeSpec, {}, "properties.description") == {"description": Absent.ABSENT}
    path = "properties.properties.idleTimeBeforeShutdown"
    assert read(ComputeInstanceSpec, {}, path) == {"idle_time_before_shutdown": None}


def test_a_timetable_is_read_in_the_words_of_the_file() -> None:
    line: Json = {
        "action": "Stop", "triggerType": "Recurrence", "status": "Enabled",
        "recurrence": {
            "frequency": "Week", "interval": 2, "timeZone": "UTC", "startTime": "2026-01-01T00:00:00",
            "schedule": {"hours": [18], "minutes": [30], "weekDays": ["Monday"]},
        },
    }  # fmt: skip
    inputs: dict[str, Json] = {"properties": {"properties": {"schedules": {"computeStartStop": [line]}}}}
    path = "properties.properties.schedules.computeStartStop[0].status"
    assert read(ComputeInstanceSpec, inputs, path) == {
        "schedules": [
            {
                "action": "Stop",
                "recurrence": {
                    "frequency": "Week", "interval": 2, "start_time": "2026-01-01T00:00:00",
                    "schedule": {"hours": [18], "minutes": [30], "week_days": ["Monday"]},
                },
            }
        ]
    }  # fmt: skip


def test_an_outbound_rule_is_read_by_its_type() -> None:
    fqdn: Json = {"type": "FQDN", "destination": "packages.example.com", "category": "UserDefined", "status": "Active"}
    tag: Json = {"type": "ServiceTag", "destination": {"serviceTag": "X", "protocol": "TCP", "portRanges": "443"}}
    assert [shaped(rule, OutboundRule, NAMES) for rule in (fqdn, tag)] == [
        {"type": "FQDN", "destination": "packages.example.com"},
        {"type": "ServiceTag", "destination": {"service_tag": "X", "protocol": "TCP", "port_ranges": "443"}},
    ]


def test_wrapped_values_are_opened() -> None:
    inputs: dict[str, Json] = {
        "serviceEndpoints": [{"service": "Microsoft.Storage"}],
        "networkSecurityGroup": {"id": "/n"},
    }
    assert read(Subnet, inputs, "serviceEndpoints[0]", "networkSecurityGroup") == {
        "network_security_group": "/n", "service_endpoints": ["Microsoft.Storage"],
    }  # fmt: skip


def test_nothing_is_said_in_the_fields_own_word() -> None:
    assert read(Subnet, {}, "networkSecurityGroup") == {"network_security_group": "none"}
