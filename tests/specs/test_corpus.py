"""Every bad stack file of the corpus is refused with exactly what the corpus says, and every rule has one."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.specs.corpus import FILES, Case, Subject, deployed, found, read_subject

SPECS = Path(__file__).parents[2] / "specs"
SUBJECTS = [read_subject(path) for path in FILES]
CASES = [
    pytest.param(subject, case, id=f"{subject.name}: {case.title}") for subject in SUBJECTS for case in subject.cases
]
OTHER_FILES = {"job.py", "job_parts.py", "job_running.py", "endpoint.py"}
"""Their rules are of job and deployment files."""
ELSEWHERE = {
    "encoding": "a file of bytes: test_checks.py",
    "yaml-size": "a file of a megabyte: test_checks.py",
    "low-priority-unknown": "stands behind low-priority-end: test_vm_sizes.py",
    "vm-size-retiring": "needs another day: test_vm_sizes.py",
}
"""Rules that a text of a few lines, as of one day, can't break."""


@pytest.mark.parametrize("subject", [pytest.param(subject, id=subject.name) for subject in SUBJECTS])
def test_the_stack_that_cases_change_is_good(subject: Subject, tmp_path: Path) -> None:
    assert found(subject.base, tmp_path, deployed(subject)) == []


@pytest.mark.parametrize(("subject", "case"), CASES)
def test_a_bad_file_is_answered_with_its_place_its_value_its_rule_and_a_fix(
    subject: Subject, case: Case, tmp_path: Path
) -> None:
    assert found(subject.text(case), tmp_path, deployed(subject)) == case.expected != []


@pytest.mark.parametrize("subject", [pytest.param(subject, id=subject.name) for subject in SUBJECTS])
def test_the_corpus_is_written_as_its_command_writes_it(subject: Subject) -> None:
    assert subject.render() == next(path for path in FILES if path.stem == subject.name).read_text("utf-8")


def test_there_are_at_least_200_bad_files_and_no_two_are_the_same() -> None:
    texts = Counter(subject.text(case) for subject in SUBJECTS for case in subject.cases)
    assert len(texts) >= 200
    titles = Counter((subject.name, case.title) for subject in SUBJECTS for case in subject.cases)
    assert [title for title, count in titles.items() if count > 1] == []


def test_every_rule_has_a_case() -> None:
    told = {line.rpartition("[rule ")[2].rstrip("]") for _, case in _cases() for line in case.expected[1::2]}
    rules = {rule for path in SPECS.glob("*.py") if path.name not in OTHER_FILES for rule in rules_of(path)}
    assert rules - told == set(ELSEWHERE)
    assert told - rules == {"unknown-identity", "unknown-subnet"}  # made of the kind of thing


def test_no_message_shows_a_seeded_secret() -> None:
    seeds = ("hunter", "c2VjcmV0LXNlZWQtNDI", "421337", "87654321", "PRIVATE KEY")
    written = [line for _, case in _cases() for line in case.changes if any(seed in line for seed in seeds)]
    shown = [line for _, case in _cases() for line in case.expected if any(seed in line for seed in seeds)]
    assert len(written) >= len(seeds)
    assert shown == []


def test_every_message_is_a_plain_sentence() -> None:
    foreign = (
        "Input ",
        "String ",
        "should ",
        "valid dictionary",
        "valid string",
        "validation",
        "discriminator",
        "None.",
    )
    lines = [line for _, case in _cases() for line in case.expected[1::2]]
    assert [line for line in lines if any(word in line.replace(", None.", "") for word in foreign)] == []
    ends = (".", "?", ")", "--online", "--rdma", "FILE", ".yaml", "invoke sizes")
    assert [line for line in lines if not line.partition("   [rule ")[0].endswith(ends)] == []


def _cases() -> list[tuple[Subject, Case]]:
    return [(subject, case) for subject in SUBJECTS for case in subject.cases]


def rules_of(path: Path) -> set[str]:
    """Collect the ids of rules in a module, wherever one is written."""
    found_ids: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        values: list[ast.expr] = []
        if isinstance(node, ast.keyword) and node.arg == "rule":
            values = [node.value]
        elif isinstance(node, ast.Assign) and any(name.id in {"rule", "REFUSED"} for name in _names(node.targets)):
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            at = {"named": 0, "PydanticCustomError": 0, "_warning": -1}.get(node.func.id)
            values = [node.args[at]] if at is not None and node.args else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fail":
            values = [node.args[-1]]
        elif isinstance(node, ast.Return) and path.name == "kinds.py" and isinstance(node.value, ast.Tuple):
            values = [node.value.elts[-1]]
        elif isinstance(node, ast.FunctionDef) and node.name == "_rule":
            values = [item for item in ast.walk(node) if isinstance(item, ast.Constant)]
        found_ids |= {
            item.value
            for item in values
            if isinstance(item, ast.Constant) and isinstance(item.value, str) and item.value.replace("-", "").isalpha()
        }
    return found_ids - {"faults"}


def _names(targets: list[ast.expr]) -> list[ast.Name]:
    return [item for target in targets for item in ast.walk(target) if isinstance(item, ast.Name)]
