from __future__ import annotations

import math

import pytest

from runtime.compare import Line, Score, better, compare, facts_of, git_of
from runtime.records import Record


def a_record(run_id: str, **changes: object) -> Record:
    values = {"id": run_id, "kind": "Local", "target": "local", "experiment": "e", "token": "t", "created": "c"}
    return Record.model_validate({**values, "state": "Completed", **changes})


def test_what_differs_is_shown_and_what_is_the_same_is_only_named() -> None:
    found = compare([
        a_record("a", parameters={"C": "0.5", "seed": "1"}, environment="digits", snapshot="s1"),
        a_record("b", parameters={"C": "0.7", "seed": "1", "new": ""}, environment="digits", snapshot="s2"),
    ])  # fmt: skip
    assert found.facts == (Line("state", ("Completed", "Completed")), Line("snapshot", ("s1", "s2")))
    assert found.parameters == (Line("C", ("0.5", "0.7")), Line("new", (None, "")))
    assert found.same == ("seed",)
    assert found.metrics == ()


def test_the_best_is_marked_by_what_the_metric_measures() -> None:
    found = compare([
        a_record("a", metrics={"accuracy": 0.9, "loss": 0.2, "epoch": 3.0}),
        a_record("b", metrics={"accuracy": 0.8, "loss": 0.1, "epoch": 4.0}),
        a_record("c", metrics={"accuracy": 0.9}),
    ])  # fmt: skip
    assert found.metrics == (
        Score("accuracy", (0.9, 0.8, 0.9), "higher"),
        Score("epoch", (3.0, 4.0, None), None),
        Score("loss", (0.2, 0.1, None), "lower"),
    )
    assert [score.best for score in found.metrics] == [(0, 2), (), (1,)]


@pytest.mark.parametrize("values", [(0.5, None), (0.5, 0.5), (None, None), (0.5, math.nan)])
def test_nothing_is_best_where_there_is_nothing_to_compare(values: tuple[float | None, ...]) -> None:
    assert Score("accuracy", values, "higher").best == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_loss", "lower"),
        ("trainLoss", "lower"),
        ("RMSE", "lower"),
        ("epochTime", "lower"),
        ("eval/mae", "lower"),
        ("accuracy", "higher"),
        ("f1_score", "higher"),
        ("glossary", "higher"),
        ("learning_rate", None),
        ("epoch", None),
    ],
)
def test_a_name_says_what_is_better(name: str, expected: str | None) -> None:
    assert better(name) == expected


def test_a_comparison_as_a_document() -> None:
    runs = [a_record("a", parameters={"C": "1"}, metrics={"loss": 1.0}), a_record("b", metrics={"loss": 0.5})]
    assert compare(runs).document() == {
        "runs": ["a", "b"],
        "differ": {"state": {"a": "Completed", "b": "Completed"}},
        "parameters": {"C": {"a": "1", "b": None}},
        "same_parameters": [],
        "metrics": {"loss": {"values": {"a": 1.0, "b": 0.5}, "best": ["b"], "better": "lower"}},
    }


def test_the_codes_origin_has_short_names() -> None:
    git = {
        "mlflow.source.git.repoURL": "https://example.org/digits.git",
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.commit": "3f9a1c",
        "azureml.git.dirty": "True",
        "trainyard.git.diff_bytes": "1200",
        "of.another.tool": "x",
    }
    assert git_of(git) == {
        "git repository": "https://example.org/digits.git",
        "git branch": "main",
        "git commit": "3f9a1c",
        "git uncommitted": "yes, 1.2 kB",
    }
    assert git_of({}) == {}


def test_attempts_and_fidelity_explain_a_difference() -> None:
    record = a_record("a", attempt=2, fidelity="translated")
    assert facts_of(record) == {
        "state": "Completed",
        "target": "local (Local)",
        "experiment": "e",
        "fidelity": "translated",
        "attempts": "2",
    }
