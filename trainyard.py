"""The public face: `from trainyard import submit`, and the `trainyard` command, the same tasks anywhere.

Everything is imported when it is first asked for.
"""

from __future__ import annotations

import importlib

EXPORTS = {
    "submit": "runtime.submit",
    "Run": "runtime.runs",
    "CommandJob": "specs.job",
    "StackSpec": "specs.stack",
    "AmlCompute": "components.aml_compute",
    "Workspace": "components.workspace",
    "Network": "components.network",
    "Stack": "components.stack",
}
__all__ = sorted(EXPORTS)  # noqa: PLE0605 - the keys are the names


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name in EXPORTS:
        return getattr(importlib.import_module(EXPORTS[name]), name)
    raise AttributeError(f"module 'trainyard' has no attribute {name!r}; it has: {', '.join(__all__)}")


def main() -> None:
    """Run the `trainyard` command."""
    from importlib.metadata import version

    from invoke import Program

    import tasks

    Program(namespace=tasks.namespace, name="trainyard", binary="trainyard", version=version("trainyard")).run()
