from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import assets, blobs, models, paths
from runtime.errors import NotDeployedError, NotFoundError, RefusedError, SpecError
from runtime.models import Details
from runtime.site import open_site
from runtime.submit import submit
from tests.runtime import kit

if TYPE_CHECKING:
    from runtime.project import Project
    from runtime.wire import Object


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


@pytest.mark.parametrize("given", ["", ".", "..", ".trainyard", ".trainyard/passphrase", "/", "linked"])
def test_a_path_around_the_projects_secrets_is_refused_before_anything_is_sent(
    line: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (line.data / "passphrase").write_text("secret")
    (line.root / "linked").symlink_to(line.data)
    monkeypatch.chdir(line.root)
    monkeypatch.setattr(blobs, "upload", pytest.fail)
    with pytest.raises(SpecError) as raised:
        models.register(line, Path(given), "m", stack="local")
    (problem,) = raised.value.problems
    assert (problem.file, problem.rule, problem.line) == ("--path", "model-path", 0)
    assert "a folder that holds the model and nothing else" in problem.message


@pytest.mark.parametrize("given", ["nowhere", "x" * 300, "a\0b", "loop"])
def test_a_path_that_leads_nowhere_is_refused(line: Project, tmp_path: Path, given: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SpecError, match=r"no such file or folder\.   \[rule model-path\]"):
        models.register(line, tmp_path / given, "m", stack="local")


def test_a_model_folder_is_sent_by_the_rules_of_source_folders(line: Project, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for name in ("weights.bin", "notes/a.txt", "drafts/b.bin", ".git/config", ".trainyard/passphrase"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / ".amlignore").write_text("drafts/\n.amlignore\n")
    model = models.register(line, folder, "by-the-rules", stack="local")
    assert sorted(model.sha256) == ["notes/a.txt", "weights.bin"]
    fetched = models.download(line, model, tmp_path / "got")
    assert sorted(path.relative_to(tmp_path / "got").as_posix() for path in fetched) == sorted(model.sha256)
    (folder / ".env").write_text("A=1")
    with pytest.raises(SpecError, match="looks like environment variables with secrets"):
        models.register(line, folder, "by-the-rules", stack="local")


def test_a_named_output_of_a_local_run_is_a_model(line: Project, tmp_path: Path) -> None:
    changes: Object = {"outputs": {"model": None}, "command": "echo weights > ${{outputs.model}}/w.txt"}
    run = submit(kit.a_job(tmp_path / "digits", **changes), "local", stack="local", project=line).wait(60)
    for path in ("named-outputs/model", "named-outputs/model/w.txt"):
        model = models.register(line, run, "named", stack="local", details=Details(path=path))
        assert list(model.sha256) == ["w.txt"]


def test_a_run_needs_a_path_among_its_files(line: Project, tmp_path: Path) -> None:
    run = submit(kit.a_job(tmp_path / "digits"), "local", stack="local", project=line).wait(60)
    for path in ("", "/"):
        with pytest.raises(SpecError, match=f"--path: path = .*\n  names none of the files of {run.id}"):
            models.register(line, run, "m", stack="local", details=Details(path=path))


def test_an_input_around_a_project_leaves_its_private_folder_here(line: Project, tmp_path: Path) -> None:
    (line.data / "passphrase").write_text("secret")
    (line.root / "data.csv").write_text("1")
    plane = open_site(line).cloud("emulator")
    uri, _ = assets.data(plane, kit.WORKSPACE, line.root)
    place = blobs.datastore(plane, kit.WORKSPACE, "workspaceblobstore")
    root = uri.partition("/paths/")[2]
    assert [blob.name.removeprefix(root) for blob in blobs.listing(plane, place, root)] == ["/Pulumi.yaml", "/data.csv"]


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
    (listed,) = blobs.listing(plane, place, "large/")
    assert (listed.name, listed.size, listed.etag[:2]) == ("large/it em#1", 7000, "0x")
    with pytest.raises(RefusedError, match="the blob large/other is gone"):
        list(blobs.content(plane, place, "large/other"))
