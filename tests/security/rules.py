"""What a rule is: it looks at the bodies of one kind in an ARM template, and each body holds it or not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.routing import Json

POLICY, PSRULE, CHECKOV = "Azure Policy", "PSRule.Rules.Azure", "Checkov 3.3.30"
"""Where rules are from: Azure/azure-policy, built-in-policies/policyDefinitions (2026-04-29); Azure/PSRule.Rules.Azure,
rules/Azure.ML.Rule.yaml; bridgecrewio/checkov, checkov/arm/checks, and checkov/terraform/checks where there is no
other, then with the ARM property that the Terraform argument is written to."""
CLUSTER, INSTANCE, ATTACHED = "AmlCompute", "ComputeInstance", "VirtualMachine"


@dataclass(frozen=True)
class Body:
    """One resource of a template."""

    resource: Mapping[str, Json]

    @property
    def type(self) -> str:
        return str(self.resource["type"])

    @property
    def name(self) -> str:
        return str(self.resource["name"])

    @property
    def id(self) -> str:
        """The expression for its id, as the bodies that refer to it write it."""
        names = ", ".join(f"'{part}'" for part in self.name.split("/"))
        return f"[resourceId('{self.type}', {names})]"

    def at(self, path: str) -> Json:
        """Return a member by its dotted path; None where there is none."""
        value: Json = dict(self.resource)
        for key in path.split("."):
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return value

    def items(self, path: str) -> list[Json]:
        """Return the list at a dotted path; empty where there is none."""
        value = self.at(path)
        return value if isinstance(value, list) else []


@dataclass(frozen=True)
class Template:
    """All bodies of a template."""

    bodies: tuple[Body, ...]

    @classmethod
    def of(cls, document: Mapping[str, Json]) -> Template:
        resources = document["resources"]
        assert isinstance(resources, list)
        return cls(tuple(Body(item) for item in resources if isinstance(item, dict)))

    def typed(self, kind: str) -> list[Body]:
        """Return the bodies of a type; types compare without case."""
        return [body for body in self.bodies if body.type.lower() == kind.lower()]


Holds: TypeAlias = "Callable[[Body, Template], bool]"


@dataclass(frozen=True)
class Rule:
    """One rule of a pack."""

    id: str
    source: str
    effect: str
    """What the pack does about it, e.g. Audit or Deny."""
    asks: str
    """In our words."""
    type: str
    """ARM type that it looks at."""
    holds: Holds
    computes: tuple[str, ...] = ()
    """Of computes: those kinds only; empty: all."""

    def looked_at(self, template: Template) -> list[Body]:
        """Return the bodies that the rule is about."""
        found = template.typed(self.type)
        return [body for body in found if not self.computes or body.at("properties.computeType") in self.computes]

    def failures(self, template: Template) -> list[str]:
        """Name the resources that break it."""
        return [body.name for body in self.looked_at(template) if not self.holds(body, template)]


def same(value: Json, wanted: str) -> bool:
    """Compare as Azure Policy's `equals` does: without case, true and "true" alike (policy structure, conditions)."""
    return value is not None and str(value).lower() == wanted.lower()


def equals(path: str, wanted: str) -> Holds:
    """Make a predicate: a member is this."""
    return lambda body, _: same(body.at(path), wanted)


def given(path: str) -> Holds:
    """Make a predicate: a member is there and not empty."""
    return lambda body, _: bool(body.at(path))
