"""The `trainyard` command: the same tasks as `invoke` has in this repository, for a team's own.

There, `invoke` finds no tasks; so whatever a message tells to type begins with `trainyard`. Messages are written once,
as this repository's users type them, and changed here as they leave; what a job prints is bytes, and passes untouched.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, TextIO, cast

from invoke import Collection, Program

if TYPE_CHECKING:
    from invoke import Task

LEFT_OUT = ("demo",)
"""What shows this repository's own examples."""
ABOUT = """\
Azure Machine Learning compute targets as code.

  trainyard init                     in an empty folder: a project with one stack, in the emulator
  trainyard setup                    get the Pulumi engine, once per machine
  trainyard up --stack local         make what stacks/local.yaml says
  trainyard submit examples/hello/job.yml
  trainyard --help COMMAND           explain one

"""


class Own(Program):  # type: ignore[misc]  # invoke has no types
    """The tasks under the name `trainyard`."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Keep Python's own setting: invoke turns off the compiled files that make a start quick."""
        setting = sys.dont_write_bytecode
        super().parse_core(argv)
        sys.dont_write_bytecode = setting

    def print_help(self) -> None:
        """Say what this is, how to begin, and which commands there are."""
        sys.stdout.write(ABOUT)
        self.list_tasks()


class Renamed:
    """A text stream in whose words the commands are called as they are called here."""

    def __init__(self, stream: TextIO, commands: list[str]) -> None:
        self._stream = stream
        names = "|".join(sorted(map(re.escape, commands), key=len, reverse=True))
        self._command = re.compile(rf"\binvoke (?=(?:-l|--help|{names})\b)")

    def write(self, text: str) -> int:
        """Write a text."""
        return self._stream.write(self.said(text))

    def said(self, text: str) -> str:
        """Return the text as it is said here."""
        text = self._command.sub("trainyard ", text).replace("make setup", "pip install --upgrade trainyard")
        return text.replace("examples/digits/job.yml", "examples/hello/job.yml").replace("examples/digits/", "")

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def program(namespace: Collection, version: str) -> Own:
    """Make the command from the tasks."""
    own = Collection()
    for name, task in cast("dict[str, Task]", namespace.tasks).items():
        if name not in LEFT_OUT:
            own.add_task(task, name)
    for name, below in namespace.collections.items():
        own.add_collection(below, name)
    return Own(namespace=own, name="trainyard", binary="trainyard", version=version)


def run(namespace: Collection, version: str) -> None:
    """Run the command that the process was started with."""
    import invoke.main

    made = program(namespace, version)
    invoke.main.program = made  # `COMMAND --help` asks the program again (console/commands/base.py)
    names = [alias for name, aliases in made.namespace.task_names.items() for alias in (name, *aliases)]
    sys.stdout = cast("TextIO", Renamed(sys.stdout, names))
    sys.stderr = cast("TextIO", Renamed(sys.stderr, names))
    try:
        made.run()
    except BrokenPipeError:
        # Whoever read the help has gone (`| head`); at exit Python would flush what is left, to nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
