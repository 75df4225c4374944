"""The stack that the rules look at: `stacks/prod.yaml`, the same with the kinds that it lacks, and changes of both."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from console.export import exported
from specs.loader import parse, validate
from specs.stack import StackSpec
from tests.security.rules import Template

if TYPE_CHECKING:
    from emulator.routing import Json

PROD = Path(__file__).parents[2] / "stacks/prod.yaml"
STORE, REGISTRY = "stresearchd4d48408", "crresearchd4d48408"
"""What the account and the registry are called in the template; `up` calls them by the true subscription."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzN0Fd6SuWjAGyTYYpYXgkFPcTHRUSlAPXtVPvBjMOT team"
MORE = f"""\
      workstation:
        kind: ComputeInstance
        vm_size: Standard_DS3_v2
        subnet: training
        enable_node_public_ip: false
        idle_time_before_shutdown: PT30M
      gpu-box:
        kind: VirtualMachine
        virtual_machine:
          vm_size: Standard_D2s_v3
          admin_public_key: {KEY}
          subnet: training
        administrator_account:
          username: azureuser
          private_key: machine-key
          private_key_passphrase: machine-passphrase
"""
"""As prod.yaml would have them: an instance, and a machine that the stack makes and attaches."""
END = "\ndefault_target:"


def prod() -> str:
    """Return the shipped stack's text."""
    return PROD.read_text("utf-8")


def every_kind() -> str:
    """Return the shipped stack's text with one of each kind that it lacks."""
    return replaced(prod(), END, f"{MORE}{END}")


def replaced(text: str, old: str, new: str) -> str:
    """Replace what is there exactly once, so that an edit that no longer fits is seen."""
    assert text.count(old) == 1, f"{old!r} is in the stack {text.count(old)} times"
    return text.replace(old, new)


def document(text: str) -> dict[str, Json]:
    """Export a stack's text; a bad one raises."""
    return exported("prod", validate(parse(text, "prod.yaml"), StackSpec))


@dataclass(frozen=True)
class Change:
    """One change of the stack with every kind: edits of its text, or of a body where no stack file can say it."""

    fails: dict[str, list[str]]
    """The rules that it breaks, with the resources; exactly these."""
    edits: tuple[tuple[str, str], ...] = ()
    body: tuple[str, str, str, Json] | None = None
    """Type, name, dotted path, value: what the component would have to write; no path: the resource goes."""
    added: dict[str, Json] | None = None
    """A resource beside the others."""
    holds: tuple[str, ...] = ()
    """The excepted rules that hold now; exactly these."""

    def template(self, base: dict[str, Json]) -> Template:
        """Make the change; `base` is the unchanged template."""
        if self.edits:
            text = every_kind()
            for old, new in self.edits:
                text = replaced(text, old, new)
            return Template.of(document(text))
        made = copy.deepcopy(base)
        resources = made["resources"]
        assert isinstance(resources, list)
        if self.body:
            kind, name, path, value = self.body
            (found,) = [
                item for item in resources if isinstance(item, dict) and (item["type"], item["name"]) == (kind, name)
            ]
            if path:
                put(found, path, value)
            else:
                resources.remove(found)
        if self.added:
            resources.append(self.added)
        return Template.of(made)


def put(resource: Json, path: str, value: Json) -> None:
    """Set a member by its dotted path; None takes it away."""
    *above, last = path.split(".")
    for key in above:
        assert isinstance(resource, dict)
        resource = resource.setdefault(key, {})
    assert isinstance(resource, dict)
    if value is None:
        del resource[last]
    else:
        resource[last] = value
