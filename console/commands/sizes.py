"""What machines there are, what they cost, and how many of them the subscription may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from invoke import Context


@command(
    iterable=["name"],
    help={
        "name": "Only this size, or a pattern such as 'NC*'; may be given again. Shown even when it is retired.",
        "gpu": "Only sizes with GPUs.",
        "rdma": "Only sizes with InfiniBand.",
        "low-priority": "Only sizes to be had as LowPriority, by that price.",
        "vcpus": "At least so many.",
        "memory": "At least so many GiB.",
        "max-price": "At most so many dollars an hour for one node.",
        "kind": "AmlCompute (default), ComputeInstance or VirtualMachine: what the size is for.",
        "region": "With --online: prices in this region (default: the stack's, else eastus).",
        "online": "Ask Azure's retail price service instead of the catalogue.",
        "stack": "Take the region, and with --online the cloud, of this stack.",
        "all": "Those too that are retired or not for this kind.",
        "json": JSON,
    },
)
def sizes(
    _c: Context,
    name: list[str],
    gpu: bool = False,
    rdma: bool = False,
    low_priority: bool = False,
    vcpus: str = "",
    memory: str = "",
    max_price: str = "",
    kind: str = "",
    region: str = "",
    online: bool = False,
    stack: str = "",
    all: bool = False,
    json: bool = False,
) -> None:
    """Search the catalogue of VM sizes, the cheapest first. No network without --online.

    Examples:
      invoke sizes --gpu --max-price 4
      invoke sizes --vcpus 8 --memory 56 --low-priority
      invoke sizes --name 'ND*' --all
      invoke sizes --gpu --region westeurope --online

    """
    from datetime import UTC, datetime

    from console import sizes as catalogue
    from console.online import region_and_prices

    flags = {"--gpu": gpu, "--rdma": rdma, "--low-priority": low_priority, "--all": all}
    texts = {"--vcpus": vcpus, "--memory": memory, "--max-price": max_price, "--kind": kind}
    asked = catalogue.wanted(texts, name, frozenset(option for option, on in flags.items() if on))
    place = catalogue.region_of(region) if region else ""
    today = datetime.now(UTC).date()
    found = catalogue.candidates(asked, today)
    place, prices = region_and_prices(found, place, stack, online=online)
    rows = catalogue.priced(asked, found, prices)
    asked_on = None if prices is None else today
    if json:
        dump(catalogue.as_json(rows, place, asked_on))
        return
    if rows:
        print("\n".join(catalogue.lines(rows)))
    unpriced = 0 if prices is None else sum((size.name.lower(), "Dedicated") not in prices for size in found)
    print(catalogue.footnote(rows, place, asked_on, 0 if asked.names else unpriced))


@command(
    help={
        "stack": STACK,
        "online": "Ask the subscription instead of reading the stack's quota file.",
        "write": "Ask, and keep the answer in this file of the project, e.g. quotas/dev.yaml; says what changed.",
        "region": "With --online or --write: this region (default: the stack's).",
        "all": "Every family, not only those that the stack uses.",
        "json": JSON,
    }
)
def quotas(
    _c: Context,
    stack: str = "local",
    online: bool = False,
    write: str = "",
    region: str = "",
    all: bool = False,
    json: bool = False,
) -> None:
    """Show how many vCPUs of each VM family the subscription may use, and what the stack needs of them.

    Examples:
      invoke quotas --stack dev --online
      invoke quotas --stack dev --write quotas/dev.yaml

    """
    from console import quotas as shown
    from console import sizes as catalogue
    from console.online import stack_quotas
    from console.yard import Yard

    place = catalogue.region_of(region) if region else ""
    known = stack_quotas(Yard.here(), stack, place, online=online, write=write)
    rows = shown.rows(known.limits, known.wanted, everything=all)
    if json:
        dump(
            {"location": known.location, "as_of": known.as_of, "quotas": shown.as_json(rows), "changes": known.changes}
        )
        return
    print("\n".join(shown.lines(rows)))
    print(f"  vCPUs; {known.location}, {known.as_of} ({known.source})")
    if write:
        print("\n".join([f"  {write} written", *(f"    {line}" for line in known.changes)]))
    if known.advice:
        print(f"  next: {known.advice}")
