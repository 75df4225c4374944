"""Preview of many clusters: our stack beside the plain flat program with pulumi-azure-native, in CPU seconds.

Run: python benchmarks/preview.py [--clusters 200] [--rounds 3]. Uses the emulator; makes nothing in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from emulator import launch  # noqa: E402 - the repository's own packages
from engine import obtain, operations  # noqa: E402
from engine.session import Session  # noqa: E402

FLAT = """
import pulumi
from pulumi_azure_native import applicationinsights, authorization, keyvault, operationalinsights, storage
from pulumi_azure_native import machinelearningservices as ml, resources

client = authorization.get_client_config()
here = {"location": "westeurope"}
group = resources.ResourceGroup("rg", resource_group_name="bench", **here)
here["resource_group_name"] = group.name
account = storage.StorageAccount(
    "researchstorage", kind="StorageV2", sku=storage.SkuArgs(name="Standard_LRS"), allow_blob_public_access=False,
    **here)
vault = keyvault.Vault("research-vault", properties=keyvault.VaultPropertiesArgs(
    tenant_id=client.tenant_id, sku=keyvault.SkuArgs(family="A", name="standard")), **here)
logs = operationalinsights.Workspace("research-logs", workspace_name="research-logs", **here)
insights = applicationinsights.Component(
    "research-insights", resource_name_="research-insights", kind="web", workspace_resource_id=logs.id, **here)
workspace = ml.Workspace(
    "research", workspace_name="research", storage_account=account.id, key_vault=vault.id,
    application_insights=insights.id, identity=ml.ManagedServiceIdentityArgs(type="SystemAssigned"), **here)
for index in range(COUNT):
    ml.Compute(
        f"cpu-{index:03d}x",
        resource_group_name=group.name,
        workspace_name=workspace.name,
        compute_name=f"cpu-{index:03d}x",
        location="westeurope",
        properties=ml.AmlComputeArgs(
            compute_type="AmlCompute",
            disable_local_auth=True,
            properties=ml.AmlComputePropertiesArgs(
                vm_size="Standard_D2_v2",
                vm_priority="Dedicated",
                os_type="Linux",
                scale_settings=ml.ScaleSettingsArgs(
                    max_node_count=4, min_node_count=0, node_idle_time_before_scale_down="PT120S"
                ),
                enable_node_public_ip=True,
                remote_login_port_public_access="Disabled",
            ),
        ),
    )
"""


def flat(folder: Path, count: int) -> None:
    """Write the plain program, as the vendor's examples do it."""
    (folder / "Pulumi.yaml").write_text("name: trainyard\nruntime: python\nmain: stacks/\nstackConfigDir: stacks\n")
    (folder / "stacks").mkdir()
    (folder / "stacks/__main__.py").write_text(FLAT.replace("COUNT", str(count)))


def ours(folder: Path, count: int) -> None:
    """Write a stack file with as many clusters, under the shipped program."""
    (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (folder / "stacks").mkdir()
    (folder / "stacks/__main__.py").write_text((ROOT / "stacks/__main__.py").read_text())
    computes = {
        f"cpu-{index:03d}x": {"kind": "AmlCompute", "vm_size": "Standard_D2_v2", "max_node_count": 4}
        for index in range(count)
    }
    research = {"public_network_access": "Enabled", "system_datastores_auth_mode": "AccessKey", "computes": computes}
    document = {
        "cloud": "emulator",
        "location": "westeurope",
        "resource_group": "bench",
        "workspaces": {"research": research},
    }
    (folder / "stacks/bench.yaml").write_text(json.dumps(document))


def cpu_seconds() -> float:
    """Return user and system seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Alternate the two and print medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    engine = obtain.find()
    if engine is None:
        sys.exit("no Pulumi engine: invoke setup")
    spent: dict[str, list[float]] = {"ours": [], "flat": []}
    with tempfile.TemporaryDirectory() as name:
        endpoint = launch.ensure(Path(name) / "emulator")
        try:
            sessions = {}
            for kind, write in (("ours", ours), ("flat", flat)):
                folder = Path(name) / kind
                folder.mkdir()
                write(folder, options.clusters)
                sessions[kind] = Session(folder, "bench", engine, endpoint.environment())
                operations.create_stack(sessions[kind])
            for _ in range(options.rounds):
                for kind, session in sessions.items():
                    before = cpu_seconds()
                    plan = operations.preview(replace(session))
                    spent[kind].append(cpu_seconds() - before)
                    made = sum(change.type.endswith(":Compute") for change in plan.changes)
                    if made != options.clusters:
                        sys.exit(f"{kind}: {made} clusters planned, not {options.clusters}")
        finally:
            launch.stop(Path(name) / "emulator")
    medians = {kind: statistics.median(values) for kind, values in spent.items()}
    print(f"preview of {options.clusters} clusters, CPU seconds, median of {options.rounds} ({os.cpu_count()} cores)")
    print(f"  ours  {medians['ours']:.2f}   {[round(value, 2) for value in spent['ours']]}")
    print(f"  flat  {medians['flat']:.2f}   {[round(value, 2) for value in spent['flat']]}")
    print(f"  ratio {medians['ours'] / medians['flat']:.2f}")


if __name__ == "__main__":
    main()
