"""A job that is about to be submitted: its spec, where it was read, and where its relative paths begin."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import overrides as settings
from runtime import paths
from runtime.errors import SpecError
from specs.job import CommandJob, DataInput, check_job
from specs.loader import Document, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specs.loader import Path_

REMOTE = ("azureml:", "http://", "https://", "wasbs://", "abfss://", "adl://")


@dataclass(frozen=True, slots=True)
class JobFile:
    """The job with its document, for messages that name file, line and column."""

    job: CommandJob
    document: Document
    base: Path
    """Folder that relative paths begin at."""

    def wrong(self, at: Path_, message: str, *, given: str | None = None, rule: str) -> SpecError:
        """Make the error for a field of the job."""
        return SpecError([self.document.problem(at, message, given=given, rule=rule)])

    @property
    def code(self) -> Path | str | None:
        """The source folder; text when it is an asset already. Raises `SpecError` when there is no such folder."""
        given = self.job.code
        if given is None or given.startswith(("azureml:", "/subscriptions/")):
            return given
        if given.startswith(("http://", "https://", "git+")):
            raise self.wrong(("code",), "is fetched by Azure only. Give a local folder.", given=given, rule="code")
        path = paths.existing(self.base, given)
        if path is None:
            raise self.wrong(("code",), "no such file or folder.", given=given, rule="code")
        return path

    @property
    def literals(self) -> dict[str, str]:
        """The inputs that are values, as the command will see them (booleans as Azure writes them: True, False)."""
        found = dict[str, str]()
        for name, value in self.job.inputs.items():
            if not isinstance(value, DataInput):
                found[name] = str(value)
            elif value.value is not None:
                found[name] = str(value.value)
        return found

    @property
    def data(self) -> dict[str, DataInput]:
        """The inputs that are files or folders; each has its path. Raises `SpecError` for one without."""
        found = {
            name: value
            for name, value in self.job.inputs.items()
            if isinstance(value, DataInput) and value.value is None
        }
        for name, value in found.items():
            if not value.path:
                raise self.wrong(("inputs", name), "has neither path nor value. Give one.", rule="input")
        return found

    def local(self, name: str, given: DataInput) -> Path | None:
        """Return the local file or folder of an input; None when it is remote. Raises `SpecError` if it isn't there."""
        text = given.path or ""
        if text.startswith(REMOTE) or text.startswith("/subscriptions/"):
            return None
        if "://" in text and not text.startswith("file:"):
            from runtime import web  # for a message only

            message = "is no address that can be read. Allowed: a local path, azureml:…, https://, wasbs://, abfss://."
            raise self.wrong(("inputs", name, "path"), message, given=web.shown(text), rule="input")
        path = paths.existing(self.base, text.removeprefix("file:"))
        if path is None:
            raise self.wrong(("inputs", name, "path"), "no such file or folder.", given=text, rule="input")
        return path


def open_job(job: Path | CommandJob, shown: str | None = None, overrides: Sequence[str] = ()) -> JobFile:
    """Read a job file, or take a job made in Python; its relative paths begin at the current folder.

    `overrides`: `PATH=VALUE` each, on top of it. Raises `SpecError`.
    """
    if isinstance(job, CommandJob):
        value = job.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return _opened(Document("the job", value, {}), Path.cwd(), overrides)
    return _opened(read(job, shown or os.path.relpath(job)), job.absolute().parent, overrides)


def _opened(given: Document, base: Path, overrides: Sequence[str]) -> JobFile:
    document = settings.apply(given, overrides)
    job = check_job(document, base)
    settings.check_inputs(given, document, job)
    return JobFile(job, document, base)
