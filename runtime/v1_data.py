"""Datastores and references into them, under the v1 SDK's names: `ds.as_mount()` in an argument is a job's input."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from runtime.v1_words import Words, words, wrong
from specs.job import DataInput

if TYPE_CHECKING:
    from typing import NoReturn

    from runtime.v1_workspace import Workspace

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


@words
class DataReference(Words):
    """A file or folder of a datastore, and how it reaches the node."""

    datastore: Datastore
    path_on_datastore: str = ""
    mode: Literal["mount", "download"] = "mount"
    data_reference_name: str | None = None

    def path(self, path: str, data_reference_name: str | None = None) -> DataReference:
        """Refer to something below."""
        joined = f"{self.path_on_datastore}/{path}".strip("/")
        return replace(self, path_on_datastore=joined, data_reference_name=data_reference_name)

    def as_mount(self) -> DataReference:
        """Have it mounted: read when it is opened, and only read."""
        return replace(self, mode="mount")

    def as_download(self) -> DataReference:
        """Have it copied to the node first."""
        return replace(self, mode="download")

    def as_upload(self, *_given: object, **_named: object) -> NoReturn:
        """Refuse: what a run writes is an output, which a job file names."""
        message = "what a run writes there is a named output of a job file. Or write to ./outputs, which comes back."
        raise wrong("DataReference", "as_upload", message, rule="v1-output")

    @property
    def input_name(self) -> str:
        """The name of the job's input."""
        given = self.data_reference_name or f"{self.datastore.name}_{self.path_on_datastore}".strip("_/")
        name = _NOT_IN_NAMES.sub("_", given)
        return name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"

    def to_input(self) -> DataInput:
        """Return the input."""
        uri = f"azureml://datastores/{self.datastore.name}/paths/{self.path_on_datastore}"
        return DataInput(type="uri_folder", path=uri, mode="download" if self.mode == "download" else "ro_mount")


@words
class Datastore(Words):
    """A datastore of the workspace: `Datastore(ws, "training_data")`, `ws.get_default_datastore()`."""

    workspace: Workspace
    name: str = "workspaceblobstore"

    @classmethod
    def get(cls, workspace: Workspace, datastore_name: str) -> Datastore:
        """Refer to a datastore; whether it is there is found when a job reads it."""
        return cls(workspace, datastore_name)

    @classmethod
    def get_default(cls, workspace: Workspace) -> Datastore:
        """Refer to the workspace's own store."""
        return cls(workspace)

    def path(self, path: str = "", data_reference_name: str | None = None) -> DataReference:
        """Refer to a file or folder in it."""
        return DataReference(self, path.strip("/"), data_reference_name=data_reference_name)

    def as_mount(self) -> DataReference:
        """Have all of it mounted."""
        return self.path()

    def as_download(self) -> DataReference:
        """Have all of it copied to the node first."""
        return self.path().as_download()
