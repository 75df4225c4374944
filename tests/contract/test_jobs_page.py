"""The page of job files is the models' own and complete."""

from __future__ import annotations

from pathlib import Path

from specs.job_support import ROWS
from specs.jobs_page import FILE, jobs_page, lines

ROOT = Path(__file__).parents[2]


def test_the_committed_page_is_the_models_own() -> None:
    assert (ROOT / FILE).read_text("utf-8") == jobs_page(), "run: invoke schema"


def test_every_field_that_targets_judge_is_a_line_with_words() -> None:
    assert sorted(line.name for line in lines()) == sorted(ROWS)
    assert [line.name for line in lines() if not line.about] == []
    assert [line.name for line in lines() if "noted" in line.row and not line.row.why] == []
