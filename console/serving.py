"""Deploying and scoring for the terminal: the registry joined to the web services of this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import deploy, wire
from runtime.errors import Problem, SpecError
from specs.loader import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.project import Project
    from runtime.services import Service
    from runtime.wire import Json
    from specs.outputs import StackOutputs


@dataclass(frozen=True, slots=True)
class Scores:
    """What an endpoint answered, beside what is right where that is known."""

    uri: str
    answers: list[Json]
    labels: list[Json]
    elapsed_s: float

    @property
    def right(self) -> int:
        """How many answers equal their label."""
        return sum(answer == label for answer, label in zip(self.answers, self.labels, strict=False))

    def document(self) -> dict[str, object]:
        """Return it for `--json`."""
        return {**asdict(self), "right": self.right}


def start(
    project: Project, file: Path, known: StackOutputs | None, trust: tuple[str, ...], say: Callable[[str], None]
) -> Service:
    """Deploy a file; registered models come from the stack's workspace, where one is deployed."""
    return deploy.deploy(file, project, deploy.Wishes(stack=known, trust=trust, say=say), shown=str(file))


def score(project: Project, endpoint: str, data: Path) -> Scores:
    """Send a file's `data` to an endpoint; its `labels`, if any, stay here to compare with."""
    service = deploy.find(project, endpoint)
    document = read(data)
    payload = wire.obj(document.value) if isinstance(document.value, dict) else {}
    if "data" not in payload:
        message = (
            "not a scoring file: it has no field data. Allowed: {data: [...], labels: [...]}; labels may be absent."
        )
        raise SpecError([Problem(str(data), 1, 1, "data", message, rule="scoring-file")])
    answer = deploy.score(service, {"data": payload["data"]})
    labels = wire.items(payload.get("labels"))
    given = answers(answer.value, len(labels))
    if labels and len(labels) != len(given):
        message = f"{len(labels)} labels, but the endpoint gave {len(given)} answers."
        raise SpecError([document.problem(("labels",), message, rule="scoring-file")])
    return Scores(uri=service.url, answers=given, labels=labels, elapsed_s=answer.elapsed_s)


def scoring_file(data: str | None) -> Path:
    """Return the file that was named. Raises `SpecError` when none was."""
    if not data:
        message = "no file is named. For example: --data examples/digits/unseen.json"
        raise SpecError([Problem("invoke score", 0, 0, "--data", message, rule="missing")])
    return Path(data)


def answers(value: Json, wanted: int) -> list[Json]:
    """Find the answers in what a script returned: the list itself, or the first list in it of the wanted length."""
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        return next((item for item in lists if len(item) == wanted), lists[0] if lists else [value])
    return value if isinstance(value, list) else [value]


def document(service: Service) -> dict[str, object]:
    """Return a service for `--json`."""
    shown = {name: getattr(service, name) for name in ("endpoint", "deployment", "state", "model", "created", "reason")}
    return {**shown, "environment": service.fidelity, "scoring_uri": service.url}
