"""What the compute types share: a type's parts, its name rule, its region, sizes, subnets, what can't be changed.

Facts of Microsoft.MachineLearningServices/workspaces/computes (azure-rest-api-specs, 2025-12-01) and of "Naming rules
and restrictions for Azure resources"; what is not recorded anywhere is marked as ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator import ml
from emulator.resources import managed_network, virtual_network
from emulator.resources.base import Name, exists, invalid, place, same_place
from emulator.routing import Refusal
from emulator.vm_sizes import Size, sizes

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Json

TYPE_NAME = "Microsoft.MachineLearningServices/workspaces/computes"


def _nothing(_cloud: Cloud, _compute: Document) -> None:
    """Nothing follows."""


def _no_secret(_write: Write) -> Document:
    return {}


@dataclass(frozen=True, slots=True)
class Compute:
    """One compute type."""

    name: str
    """The `computeType`."""
    rule: Name
    """What it may be called."""
    attached: bool
    """Something that was there before: detached, never deleted."""
    shape: Callable[[Write, Document], Document]
    """Check `properties.properties`; return what is kept of them. Raises `Refusal`."""
    view: Callable[[Cloud, Document], Document]
    """Return `properties.properties` as GET shows them now."""
    keys: Callable[[Cloud, Document], Document]
    """What Compute_ListKeys adds to the type."""
    nodes: Callable[[Cloud, Document], list[Json]] | None = None
    """What Compute_ListNodes answers; None: the service refuses to list the nodes of this type."""
    secret: Callable[[Write], Document] = _no_secret
    """What is kept apart because GET never shows it."""
    settled: Callable[[Cloud, Document], None] = _nothing
    """After a write has settled."""
    gone: Callable[[Cloud, Document], None] = _nothing
    """After it is gone."""


def name_rule(low: int, high: int) -> Name:
    """Return the rule of a name: a letter first, a dash only where a letter still follows.

    Lengths as "Naming rules and restrictions for Azure resources" has them; the dash as azure-docs
    how-to-create-compute-instance has it.
    """
    words = f"{low}-{high} letters, digits and '-', starting with a letter, a '-' only where a letter still follows"
    return Name(rf"(?=.{{{low},{high}}}$)[A-Za-z](?![A-Za-z0-9-]*-[0-9-]*$)[A-Za-z0-9-]*", words)


def location(write: Write) -> str:
    """Return where the compute is: as asked, as before, or where the workspace is."""
    given = write.body.get("location") or write.properties.get("computeLocation")
    return ml.text(given or write.old_properties.get("computeLocation") or write.parent().get("location"))


def inner(document: Document) -> Document:
    """Return `properties.properties`."""
    return ml.obj(ml.obj(document["properties"]).get("properties"))


def bad_value(message: str) -> Refusal:
    """Return the 400 of a value that can't be."""
    return Refusal(400, "InvalidPropertyValue", message)


def fixed(write: Write, name: str, mutable: str) -> Refusal:
    """Return the 400 of a change that can't be made."""
    message = (
        f"The property '{name}' of the compute '{write.name}' cannot be changed. Delete the compute and create it "
        f"again; only {mutable} can be updated."
    )
    return Refusal(400, "ImmutablePropertyChanged", message)


def plain(value: Json) -> str:
    """Return a value so that two that mean the same are equal: without case, order of members, and absent ones."""
    if isinstance(value, dict):
        members = [f"{key.lower()}={plain(member)}" for key, member in value.items() if member is not None]
        return f"{{{','.join(sorted(members))}}}"
    if isinstance(value, list):
        return f"[{','.join(plain(item) for item in value)}]"
    return str(value).lower()


def size_of(write: Write, settings: Document, kind: str) -> Size:
    """Return the size's row. Raises `Refusal` 400 when this compute type doesn't have it there."""
    name = ml.text(settings.get("vmSize"))
    if not name:
        raise invalid("Required property 'vmSize' is missing from the request body.")
    size = sizes().get(name.lower())
    today = write.cloud.now().date()
    where = place(location(write))
    if size is None or not size.in_location(where):
        raise bad_value(f"The VM size '{name}' is not supported in the location '{where}'.")
    if size.retired_on is not None and size.retired_on <= today:
        instead = f" Use {size.successor} instead." if size.successor else ""
        raise bad_value(f"The VM size '{size.name}' was retired on {size.retired_on}.{instead}")
    if not size.for_clusters(today) or (kind == "ComputeInstance" and not size.compute_instance):
        raise bad_value(f"The VM size '{size.name}' is not offered for {kind}.")
    return size


def check_subnet(write: Write, settings: Document, nodes: int) -> None:
    """Check that the subnet is there, in the same region, and has room. Raises `Refusal` 400."""
    reference = settings.get("subnet")
    if reference is None:
        if settings.get("enableNodePublicIp") is False and managed_network.mode(write.parent()) == "Disabled":
            raise bad_value("'enableNodePublicIp' false needs a 'subnet', or a workspace with a managed network.")
        return
    managed_network.refuse_own_subnet(write.parent(), "subnet")
    subnet = exists(write.cloud, ml.obj(reference).get("id"), virtual_network.SUBNET.name, "properties.subnet")
    network = write.cloud.state.get(str(subnet["id"]).rpartition("/subnets/")[0]) or {}
    if not same_place(network.get("location"), location(write)):
        raise bad_value(
            f"The virtual network '{network.get('name')}' is in '{network.get('location')}', the compute in "
            f"'{location(write)}': they must be in the same region."
        )
    taken = sum(
        most_nodes(inner(found))
        for user in virtual_network.users(write.cloud, str(subnet["id"]))
        if user.lower() != write.id.lower() and (found := write.cloud.state.get(user)) is not None
    )
    room = virtual_network.addresses(subnet) - taken
    if nodes > room:
        message = (
            f"Subnet {subnet['name']} does not have enough capacity for {nodes} IP addresses: {max(room, 0)} are free."
        )
        raise Refusal(400, "SubnetIsFull", message)


def most_nodes(settings: Document) -> int:
    """Return how many addresses a compute may need: a cluster's maximum, one for anything else."""
    scale = settings.get("scaleSettings")
    most = ml.obj(scale).get("maxNodeCount")
    return most if isinstance(most, int) else 1


def kept_secret(write: Write) -> Document:
    """Return what is kept apart for this compute now."""
    return write.cloud.state.get(f"{write.id}/__secret") or {}
