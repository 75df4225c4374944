from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime import blobs, models, paths
from runtime.errors import NotDeployedError, NotFoundError, RefusedError, SpecError
from runtime.models import Details
from runtime.site import open_site
from runtime.submit import submit
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project


@pytest.mark.parametrize("target", ["cpu-cluster", "local"])
def test_a_runs_model_is_registered_found_and_fetched(line: Project, tmp_path: Path, target: str) -> None:
    run = submit(kit.a_job(tmp_path / "digits"), target, stack="local", project=line).wait(60)
    name = f"digits-{target}"
    first = models.register(line, run, name, stack="local", details=Details(path="outputs/model.txt"))
    second = models.register(line, run, name, stack="local", details=Details(path="outputs", tags={"best": "yes"}))
    digest = paths.digest(tmp_path / "weights") if (tmp_path / "weights").write_text("weights") else ""
    assert (first.version, second.version, first.run, second.tags) == ("1", "2", run.id, {"best": "yes"})
    assert first.sha256 == second.sha256 == {"model.txt": digest}
    assert [model.version for model in models.models(line, "local") if model.name == name] == ["2", "1"]
    for reference in (name, f"{name}@latest", f"azureml:{name}:2"):
        assert models.find_model(line, reference, "local") == second
    for model in (first, second):
        fetched = models.download(line, model, tmp_path / model.version)
        assert [path.read_text() for path in fetched] == ["weights"]
    with pytest.raises(NotFoundError, match=f"{run.id} left nothing at outputs/other"):
        models.register(line, run, name, stack="local", details=Details(path="outputs/other"))
    with pytest.raises(SpecError, match=f"the workspace has {name}:1 already"):
        models.register(line, run, name, stack="local", details=Details(version="1"))


def test_a_folder_is_registered_and_a_changed_file_is_not_handed_out(line: Project, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "weights.bin").write_bytes(b"w" * 1000)
    model = models.register(line, folder, "from-folder", stack="local")
    assert model.run is None
    site = open_site(line)
    plane = site.cloud("emulator")
    place = blobs.datastore(plane, kit.WORKSPACE, "workspaceblobstore")
    (blob,) = blobs.listing(plane, place, model.uri.partition("/paths/")[2])
    blobs.put(plane, place, blobs.Source(blob.name, lambda: [b"x" * 1000]))
    with pytest.raises(RefusedError, match=r"deep/weights.bin of from-folder:\d+ is not the file that was registered"):
        models.download(line, model, tmp_path / "got")
    assert [path for path in (tmp_path / "got").rglob("*") if path.is_file()] == []


def test_without_a_stack_there_is_no_registry(project: Project, tmp_path: Path) -> None:
    with pytest.raises(NotDeployedError, match="models live in its workspace's registry"):
        models.register(project, tmp_path, "m", stack="local")


def test_large_content_goes_in_blocks(line: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "BLOCK", 1000)
    plane = open_site(line).cloud("emulator")
    place = blobs.datastore(plane, kit.WORKSPACE, "workspaceblobstore")
    content = [bytes([number % 256]) * 700 for number in range(10)]
    assert blobs.put(plane, place, blobs.Source("large/it em#1", lambda: content)) == 7000
    assert b"".join(blobs.content(plane, place, "large/it em#1")) == b"".join(content)
    assert blobs.listing(plane, place, "large/") == [blobs.Blob("large/it em#1", 7000)]
    with pytest.raises(RefusedError, match="the blob large/other is gone"):
        list(blobs.content(plane, place, "large/other"))
