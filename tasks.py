"""The commands, as `invoke` finds them; each module of `console/commands` has the ones of its subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Collection

from console.commands import (
    changes,
    emulator,
    environments,
    evict,
    export,
    init,
    machines,
    platform,
    retry,
    runs,
    serving,
    sizes,
)

if TYPE_CHECKING:
    from invoke import Task


def collection(**tasks: Task) -> Collection:
    """Group tasks under one word; the default one answers to the word alone."""
    found = Collection()
    for item in tasks.values():
        found.add_task(item)
    return found


namespace = Collection(
    init.init, changes.adopt,
    platform.setup, platform.doctor, platform.check, platform.preview, platform.up, changes.refresh, platform.destroy,
    platform.purge, platform.recover, platform.env, platform.secret, platform.targets, platform.schema,
    export.export,
    runs.submit, runs.logs, runs.cancel, runs.download, serving.deploy, serving.score, emulator.demo,
    sizes.sizes, sizes.quotas,
    machines.nodes, machines.ssh, machines.start, machines.stop, machines.restart, machines.host_key,
    evict.evict,
)  # fmt: skip
namespace.add_collection(
    collection(
        list=runs.runs_list, show=runs.runs_show, logs=runs.logs, metrics=runs.metrics, compare=runs.compare,
        cancel=runs.cancel, download=runs.download, retry=retry.runs_retry,
    ),
    "runs",
)  # fmt: skip
namespace.add_collection(
    collection(
        list=environments.environments_list,
        prune=environments.environments_prune,
        build=environments.environments_build,
    ),
    "environments",
)
namespace.add_collection(collection(list=serving.models_list, register=serving.models_register), "models")
namespace.add_collection(collection(list=serving.endpoints_list, delete=serving.endpoints_delete), "endpoints")
namespace.add_collection(
    collection(status=emulator.emulator_status, start=emulator.emulator_start, stop=emulator.emulator_stop), "emulator"
)
