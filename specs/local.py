"""Local: this machine as a target. Nothing is made in a cloud for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from specs.base import Spec, Wire


class LocalSpec(Spec):
    """How jobs run on the machine that submits them."""

    interpreter: Annotated[Annotated[str, Field(min_length=1)] | None, Wire(None)] = None
    """Python of a user-managed environment, a path (`~` is the home); absent: each job's own environment is built."""
    environments_folder: Annotated[Annotated[str, Field(min_length=1)] | None, Wire(None)] = None
    """Where built environments are kept, a path; absent: the user's cache folder."""
    cpus: Annotated[Annotated[int, Field(ge=1)] | None, Wire(None)] = None
    """Most processors that a run may use; absent: all."""
    memory_gib: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, Wire(None)] = None
    """Most memory that a process of a run may use, GiB; absent: all."""
