"""Random edits in place, each followed by `up` and `refresh`: nothing else may change, and nothing may seem to.

`python -m tests.engine.cycles FOLDER 50 SEED` does so many on the stack with every option; the engine tests do three.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from console import changing, plans
from emulator import launch
from specs.edit import edited

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs.edit import Value
    from tests.engine.conftest import Site

FilePath: TypeAlias = tuple[str, ...]
Make: TypeAlias = "Callable[[random.Random], Value]"
CPU = ("workspaces", "research", "computes", "cpu-cluster")
DESK = ("workspaces", "research", "computes", "workstation")
STACK = "platform"


def words(chance: random.Random) -> str:
    """Make a text that YAML, JSON and people may stumble over."""
    return "".join(chance.choice("ab é'\":#{}-1") for _ in range(chance.randint(1, 12))).strip() or "x"


def tags(chance: random.Random) -> Value:
    """Make some tags."""
    return {f"t{number}": words(chance) for number in range(chance.randint(0, 3))}


def identity(chance: random.Random) -> Value:
    """Choose some identities."""
    return {
        "type": "UserAssigned",
        "user_assigned_identities": chance.sample(["training", "spare"], chance.randint(1, 2)),
    }


def timetable(chance: random.Random) -> Value:
    """Make a timetable of cron lines."""
    return [
        {"action": chance.choice(["Start", "Stop"]), "cron": {"expression": f"{chance.randint(0, 59)} 8 * * *"}}
        for _ in range(chance.randint(0, 3))
    ]


def rules(chance: random.Random) -> Value:
    """Make some outbound rules."""
    return {
        f"host{number}": {"type": "FQDN", "destination": f"h{chance.randint(0, 9)}.example.com"}
        for number in range(chance.randint(0, 3))
    }


def one_of(*choices: Value) -> Make:
    """Choose one of some values."""
    return lambda chance: chance.choice(choices)


EDITS: tuple[tuple[FilePath, Make], ...] = (
    ((*CPU, "max_node_count"), one_of(1, 2, 3, 4, 5, 6)),
    ((*CPU, "node_idle_time_before_scale_down"), one_of(90, 120, "PT3M", "PT1H")),
    ((*CPU, "identity"), identity),
    ((*CPU, "description"), words),
    ((*CPU, "tags"), tags),
    ((*DESK, "idle_time_before_shutdown"), one_of(None, "PT15M", "P3D", 3600)),
    ((*DESK, "schedules"), timetable),
    ((*DESK, "identity"), identity),
    (("workspaces", "research", "computes", "old-box", "description"), words),
    (("workspaces", "research", "computes", "gpu-box", "tags"), tags),
    (("workspaces", "research", "friendly_name"), words),
    (("workspaces", "research", "tags"), tags),
    (("workspaces", "managed", "managed_network", "outbound_rules"), rules),
    (("workspaces", "managed", "description"), words),
    (("identities", "spare", "tags"), tags),
    (("network", "subnets", "guarded", "service_endpoints"), one_of([], ["Microsoft.Storage", "Microsoft.KeyVault"])),
    (("network", "subnets", "guarded", "network_security_group"), one_of("none", "service")),
    (("tags",), tags),
)


def cycle(site: Site, chance: random.Random) -> list[str]:
    """Edit, bring up, refresh; return what was wrong."""
    path = site.root / "stacks" / f"{STACK}.yaml"
    picked = chance.sample(EDITS, chance.randint(1, 4))
    path.write_text(edited(path.read_text("utf-8"), {where: make(chance) for where, make in picked}), "utf-8")
    ops = {item.op for item in plans.real(site.yard.up(STACK, []))}
    wrong = [f"{op} in place of an update" for op in ops & {"replace"}]
    wrong += [f"drift: {item.change.name} {item.change.properties}" for item in changing.drifts(site.yard, STACK)]
    left = plans.real(site.yard.preview(STACK))
    wrong += [f"not empty: {item.name} {item.op} {item.properties}" for item in left]
    return [f"{[where for where, _ in picked]}: {line}" for line in wrong]


def main(folder: str, count: str, seed: str) -> None:
    """Do it by hand, with figures."""
    from tests.engine.conftest import make_site
    from tests.engine.test_everything import lay_out

    site = make_site(Path(folder))
    lay_out(site)
    site.yard.up(STACK, [])
    chance = random.Random(int(seed))  # noqa: S311 - repeatable on purpose
    began, wrong = time.monotonic(), 0
    for number in range(1, int(count) + 1):
        found = cycle(site, chance)
        wrong += len(found)
        lines = [f"{number}: {time.monotonic() - began:.0f} s", *(f"  {line}" for line in found)]
        print("\n".join(lines), flush=True)  # noqa: T201 - a command
    launch.stop(site.root / ".trainyard/emulator")
    print(f"{count} cycles, seed {seed}: {wrong} false differences, {time.monotonic() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
