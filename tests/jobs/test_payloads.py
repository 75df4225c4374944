"""Values that shells and formats trip over reach the script unchanged, in every field, on every target."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from runtime import wire
from tests.jobs import payloads
from tests.jobs.line import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.jobs.line import Line

DUMP = """
import json, os, pathlib, sys

def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(pathlib.Path(folder).rglob("*"))
            if path.is_file() and "outputs" not in path.parts}

given = sys.argv[sys.argv.index("--values") + 1:]
found = {
    "arguments": given,
    "variables": {name: value for name, value in os.environ.items() if name.startswith("P_")},
    "code": tree("names"),
    "folder": tree(sys.argv[1]),
    "file": pathlib.Path(sys.argv[2]).read_text(),
}
pathlib.Path("outputs/found.json").write_text(json.dumps(found))
pathlib.Path(sys.argv[3], "it's; $(here).txt").write_text("named")
"""
FOLDER = '-it\'s "a"; $(touch x) `y` ünï&'
MOST_TAGS = 45


def write(folder: Path, values: list[str], names: list[str]) -> Path:
    """Write the job: every value as an argument (bare, and in both kinds of quotes) and as a variable."""
    code, data = folder / "src", folder / FOLDER
    for place in (code / "names", data):
        place.mkdir(parents=True)
        for number, name in enumerate(names):
            (place / name).write_text(f"content {number}")
    (code / "dump.py").write_text(DUMP)
    (folder / f"{FOLDER}.csv").write_text("single")
    bare = " ".join(f"${{{{inputs.p{number}}}}}" for number in range(len(values)))
    double = " ".join(f'"${{{{inputs.p{number}}}}}"' for number in range(len(values)))
    single = " ".join(f"'${{{{inputs.p{number}}}}}'" for number in range(len(values)))
    places = "${{inputs.data}} ${{inputs.file}} ${{outputs.named}}"
    job = {
        "command": f"python dump.py {places} --values {bare} {double} {single}",
        "code": "src",
        "environment": {"image": "python:3.11-slim", "conda_file": {"dependencies": ["python=3.11"]}},
        "inputs": {
            "data": {"type": "uri_folder", "path": FOLDER},
            "file": {"type": "uri_file", "path": f"{FOLDER}.csv"},
            **{f"p{number}": value for number, value in enumerate(values)},
        },
        "outputs": {"named": {"type": "uri_folder"}},
        "environment_variables": {f"P_{number}": value for number, value in enumerate(values)},
        "display_name": values[5],
        "description": "\n".join(value for value in values if value.isprintable()),
        "tags": {f"tag {number}": value for number, value in enumerate(values[:MOST_TAGS])},
    }
    path = folder / f"{FOLDER}.yml"
    path.write_text(yaml.safe_dump(job, default_style='"'), encoding="utf-8")
    return path


def test_there_are_enough_of_them() -> None:
    assert len(set(payloads.values("/canary"))) >= 100
    assert len(payloads.names("/canary")) >= 100


@pytest.mark.parametrize("target", TARGETS)
def test_values_reach_the_script_unchanged(line: Line, tmp_path: Path, target: str) -> None:
    line.needs(target)
    canary = tmp_path / "canary"
    values, names = payloads.values(str(canary)), payloads.names("canary")
    job = write(tmp_path / "job $(x)", values, names)
    run = line.ended(line.submit(job, target))
    assert (run.state, run.record.reason) == ("Completed", None), line.logs(run)
    files = line.files(run)
    found = json.loads(files["outputs/found.json"])
    contents = {name: f"content {number}" for number, name in enumerate(names)}
    assert found["arguments"] == values * 3
    assert found["variables"] == {f"P_{number}": value for number, value in enumerate(values)}
    assert found["code"] == contents
    assert found["folder"] == contents
    assert found["file"] == "single"
    assert files["named-outputs/named/it's; $(here).txt"] == b"named"
    assert not canary.exists()
    assert run.record.parameters == {f"p{number}": value for number, value in enumerate(values)}
    if run.record.kind not in {"AmlCompute", "ComputeInstance"}:
        return
    kept = wire.obj(
        line.site.plane(run.record).get(f"{run.record.workspace_id}/jobs/{run.id}", "2025-12-01")["properties"]
    )
    given = yaml.safe_load(job.read_text("utf-8"))
    assert [kept[name] for name in ("displayName", "description", "tags")] == [
        given[name] for name in ("display_name", "description", "tags")
    ]
