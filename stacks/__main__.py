"""The Pulumi program: read the stack's file, refuse the wrong cloud, declare, export one document."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pulumi
from pulumi_azure_native import authorization

from components.stack import Account, Stack
from specs.cloud import disagreement
from specs.problems import SpecError
from specs.stack import load_stack

name = pulumi.get_stack()
try:
    spec = load_stack(Path(__file__).parent / f"{name}.yaml", f"stacks/{name}.yaml")
except SpecError as error:
    pulumi.log.error(str(error))
    sys.exit(1)
azure = pulumi.Config("azure-native")
chosen = {"ARM_SUBSCRIPTION_ID": azure.get("subscriptionId"), "ARM_METADATA_HOSTNAME": azure.get("metadataHost")}
if refusal := disagreement(name, spec.cloud, {**os.environ, **{key: value for key, value in chosen.items() if value}}):
    pulumi.log.error(refusal)
    sys.exit(1)
client = authorization.get_client_config()
account = Account(subscription_id=client.subscription_id, tenant_id=client.tenant_id)
pulumi.export("trainyard", Stack(name, spec, account, pulumi.Config().require_secret).document)
