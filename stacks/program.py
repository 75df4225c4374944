"""The Pulumi program: read the stack's file, refuse the wrong cloud, declare, export one document.

It is here, and not in `__main__.py`, so that a team's own repository runs it from the installed package.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import authorization

from components.stack import Account, Stack
from specs.checks import load_stack
from specs.cloud import disagreement
from specs.problems import SpecError

if TYPE_CHECKING:
    from pathlib import Path


def declare(folder: Path) -> None:
    """Declare the current stack from its file in `folder`; ends the program with one message where it is refused."""
    name = pulumi.get_stack()
    try:
        spec = load_stack(folder / f"{name}.yaml", f"stacks/{name}.yaml")
    except SpecError as error:
        pulumi.log.error(str(error))
        sys.exit(1)
    azure = pulumi.Config("azure-native")
    chosen = {"ARM_SUBSCRIPTION_ID": azure.get("subscriptionId"), "ARM_METADATA_HOSTNAME": azure.get("metadataHost")}
    known = {**os.environ, **{key: value for key, value in chosen.items() if value}}
    if refusal := disagreement(name, spec.cloud, known):
        pulumi.log.error(refusal)
        sys.exit(1)
    client = authorization.get_client_config()
    account = Account(subscription_id=client.subscription_id, tenant_id=client.tenant_id)
    pulumi.export("trainyard", Stack(name, spec, account, pulumi.Config().require_secret).document)
