"""From v1's words for a compute target to the lines that declare it in a stack's file. Pure.

The lines hold no secret: a password or a key is named, and kept by `invoke secret`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from runtime.v1_words import choice, note, unknown, wrong
from specs.targets import KINDS
from specs.vm_sizes import find

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from specs.outputs import StackOutputs
    from specs.vm_sizes import Priority

PRIORITIES: dict[str, Priority] = {"dedicated": "Dedicated", "lowpriority": "LowPriority"}
HOST_KEY = "ssh-ed25519 AAAA"
"""Stands where the machine's own key must be written."""
LATER = ("HDInsight", "Databricks", "DataLakeAnalytics")
"""Kinds that ARM has and a stack's file will."""


@dataclass(frozen=True)
class Declaration:
    """A target as a stack's file would declare it."""

    kind: str
    fields: dict[str, object]
    secrets: dict[str, str] = field(default_factory=dict)
    """What to keep under which suffix of a config key: `password`, or the path of a key's file."""
    todo: str | None = None
    """What only the user can fill in."""


def advice(wanted: Declaration, name: str, known: StackOutputs, workspace: str) -> str:
    """Say which lines to add to a stack's file, and what to type."""
    file = f"stacks/{known.stack}.yaml"
    head = f"{name} is not declared in stack {known.stack}. Add it to {file}:"
    if wanted.kind not in KINDS:
        kinds = ", ".join(KINDS)
        head = (
            f"{name}: the kind {wanted.kind} can't be declared yet (today: {kinds}). It comes with a later version, "
            f"as this in {file}:"
        )
    lines = [head, "", text(wanted, name, workspace).replace(SUBSCRIPTION, known.subscription_id)]
    lines += [f"  {wanted.todo}"] if wanted.todo else []
    if wanted.kind not in KINDS:
        return "\n".join(lines).rstrip()
    for suffix, source in wanted.secrets.items():
        given = f" < {source}" if source else ""
        lines.append(f"  Keep the secret: invoke secret {name}-{suffix} --stack {known.stack}{given}")
    lines.append(f"  Then: invoke up --stack {known.stack}")
    return "\n".join(lines)


def text(wanted: Declaration, name: str, workspace: str) -> str:
    """Return the lines."""
    entry: dict[str, object] = {"kind": wanted.kind, **_named(wanted.fields, name)}
    document = {"workspaces": {workspace: {"computes": {name: entry}}}}
    return yaml.safe_dump(document, sort_keys=False, width=200)


def changed(name: str, changes: Mapping[str, object]) -> str:
    """Return the lines of an update in v1's words."""
    fields = _taken("update", changes, {word: CLUSTER[word] for word in ("min_nodes", "max_nodes", IDLE)})
    return yaml.safe_dump({name: fields}, sort_keys=False)


def _named(fields: Mapping[str, object], name: str) -> dict[str, object]:
    """Name the config keys after the target."""
    found: dict[str, object] = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            found[key] = _named(value, name)
        else:
            found[key] = f"{name}-{value.suffix}" if isinstance(value, Secret) else value
    return found


@dataclass(frozen=True)
class Secret:
    """A place for the name of a config key."""

    suffix: str


def _taken(where: str, given: Mapping[str, object], known: Mapping[str, str | None]) -> dict[str, object]:
    """Put v1's words in the place of ours; what has none is said. Raises `SpecError` for a word that v1 had not."""
    found: dict[str, object] = {}
    for word, value in given.items():
        if word not in known:
            raise unknown(where, word, known)
        ours = known[word]
        if value is None or ours == "":
            continue
        if ours is None:
            note(f"{where}: {word} has no counterpart; see docs/targets.md")
            continue
        found[ours] = CONVERSIONS.get(word, _same)(value)
    return found


def _same(value: object) -> object:
    return value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdigit() else value


def _size(value: object) -> object:
    """Spell a size as Azure does; one that nobody knows stays, and `invoke check` says so."""
    known = find(str(value))
    return known.name if known else str(value)


def _priority(value: object) -> object:
    return choice("provisioning_configuration", "vm_priority", value, PRIORITIES)


IDLE = "idle_seconds_before_scaledown"
CONVERSIONS: Mapping[str, Callable[[object], object]] = {
    "vm_size": _size,
    "vm_priority": _priority,
    "min_nodes": _whole,
    "max_nodes": _whole,
    IDLE: _whole,
    "ssh_port": _whole,
}
CLUSTER: Mapping[str, str | None] = {
    "vm_size": "vm_size",
    "vm_priority": "vm_priority",
    "min_nodes": "min_node_count",
    "max_nodes": "max_node_count",
    IDLE: "node_idle_time_before_scale_down",
    "vnet_resourcegroup_name": "",  # these three are one ARM id
    "vnet_name": "",
    "subnet_name": "",
    "tags": "tags",
    "description": "description",
    "remote_login_port_public_access": "remote_login_port_public_access",
    "location": "location",
    "enable_node_public_ip": "enable_node_public_ip",
    "admin_username": None,
    "admin_user_password": None,
    "admin_user_ssh_key": None,
    "identity_type": None,
    "identity_id": None,
}


def cluster(given: Mapping[str, object]) -> Declaration:
    """Describe a cluster."""
    fields = _taken("AmlCompute.provisioning_configuration", given, CLUSTER)
    if not fields.get("vm_size"):
        message = "is missing. To see the sizes: invoke sizes"
        raise wrong("AmlCompute.provisioning_configuration", "vm_size", message)
    # v1's own default.
    fields.setdefault("max_node_count", 4)
    return Declaration("AmlCompute", fields | _subnet(given))


def _subnet(given: Mapping[str, object]) -> dict[str, object]:
    words = ("vnet_resourcegroup_name", "vnet_name", "subnet_name")
    names = [given.get(word) for word in words]
    if not any(names):
        return {}
    if not all(names):
        missing = ", ".join(word for word in words if not given.get(word))
        raise wrong("provisioning_configuration", "subnet_name", f"a subnet needs all three; missing: {missing}.")
    group, network, subnet = names
    return {
        "subnet": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/"
        f"{network}/subnets/{subnet}"
    }


SUBSCRIPTION = "${SUBSCRIPTION}"
"""Replaced by the stack's own when the lines are written."""


def instance(given: Mapping[str, object]) -> Declaration:
    """Describe an instance."""
    known: Mapping[str, str | None] = {
        "vm_size": "vm_size",
        "ssh_public_access": None,
        "admin_user_ssh_public_key": None,
        "vnet_resourcegroup_name": "",
        "vnet_name": "",
        "subnet_name": "",
        "tags": "tags",
        "description": "description",
        "assigned_user_object_id": None,
        "assigned_user_tenant_id": None,
    }
    fields = _taken("ComputeInstance.provisioning_configuration", given, known)
    if not fields.get("vm_size"):
        message = "is missing. To see the sizes: invoke sizes --kind ComputeInstance"
        raise wrong("ComputeInstance.provisioning_configuration", "vm_size", message)
    return Declaration("ComputeInstance", fields | _subnet(given))


SSH_WORDS: Mapping[str, str | None] = {
    "address": "address",
    "ssh_port": "ssh_port",
    "resource_id": "resource_id",
    "username": "",
    "password": "",
    "private_key_file": "",
    "private_key_passphrase": "",
    "private_key_phrase": "",  # as document how-to-set-up-training-targets of 2018 has it
}


def machine(given: Mapping[str, object]) -> Declaration:
    """Describe a machine that is there."""
    where = "RemoteCompute.attach_configuration"
    fields = _taken(where, given, SSH_WORDS)
    account, secrets = _account(where, given)
    todo = (
        "Write the machine's own key as host_key: on it, type cat /etc/ssh/ssh_host_ed25519_key.pub. It is pinned, "
        "and never accepted unseen."
    )
    return Declaration(
        "VirtualMachine", {**fields, "administrator_account": account, "host_key": HOST_KEY}, secrets, todo
    )


def _account(where: str, given: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    if not given.get("username"):
        raise wrong(where, "username", "is missing.")
    account: dict[str, object] = {"username": given["username"]}
    key, password = given.get("private_key_file"), given.get("password")
    if not key and not password:
        raise wrong(where, "private_key_file", "is missing; a password does instead. Keys are safer.")
    if not key:
        return account | {"password": Secret("password")}, {"password": ""}
    secrets = {"key": str(key)}
    account["private_key"] = Secret("key")
    if given.get("private_key_passphrase") or given.get("private_key_phrase"):
        account["private_key_passphrase"] = Secret("passphrase")
        secrets["passphrase"] = ""
    return account, secrets


def hdinsight(given: Mapping[str, object]) -> Declaration:
    """Describe a Spark cluster, in ARM's words (HDInsightProperties)."""
    where = "HDInsightCompute.attach_configuration"
    fields = _taken(where, given, SSH_WORDS)
    account, secrets = _account(where, given)
    return Declaration("HDInsight", {**fields, "administrator_account": account}, secrets)


def databricks(given: Mapping[str, object]) -> Declaration:
    """Describe a Databricks workspace, in ARM's words (DatabricksProperties)."""
    where = "DatabricksCompute.attach_configuration"
    known = {"resource_group": "", "workspace_name": "", "resource_id": "resource_id", "access_token": ""}
    fields = _taken(where, given, known)
    if "resource_id" not in fields:
        fields = {"resource_id": _resource(where, given, "workspace_name", "Microsoft.Databricks/workspaces")}
    return Declaration("Databricks", {**fields, "databricks_access_token": Secret("token")}, {"token": ""})


def data_lake(given: Mapping[str, object]) -> Declaration:
    """Describe a Data Lake Analytics account, in ARM's words."""
    where = "AdlaCompute.attach_configuration"
    fields = _taken(where, given, {"resource_group": "", "account_name": "", "resource_id": "resource_id"})
    if "resource_id" not in fields:
        fields = {"resource_id": _resource(where, given, "account_name", "Microsoft.DataLakeAnalytics/accounts")}
    return Declaration("DataLakeAnalytics", fields)


def _resource(where: str, given: Mapping[str, object], word: str, kind: str) -> str:
    for name in ("resource_group", word):
        if not given.get(name):
            raise wrong(where, name, "is missing.")
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{given['resource_group']}/providers/{kind}/{given[word]}"
