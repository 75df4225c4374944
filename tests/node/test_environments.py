"""Environments are built once, and again when a build did not finish. No package index is needed."""

from __future__ import annotations

import errno
import http.server
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from node import environments, installers, launch, layout
from node import status as statuses

if TYPE_CHECKING:
    from pathlib import Path

    from node.layout import Json
    from tests.node.conftest import Runs

HERE = "{}.{}".format(*sys.version_info[:2])
ENSURE = """
import sys; from pathlib import Path; from node import environments
with open(sys.argv[2], "ab") as log:
    print(environments.ensure(None, [], Path(sys.argv[1]), log).cached)
"""


def ensure(cache: Path, pip: list[str], python: str | None = None) -> environments.Environment:
    with (cache.parent / "build.log").open("ab") as log:
        return environments.ensure(python, pip, cache, log)


def test_an_environment_is_built_once_and_rebuilt_when_half_built(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    built = ensure(cache, [])
    assert (built.cached, built.interpreter.exists()) == (False, True)
    again = ensure(cache, [], HERE)
    assert (again.cached, again.id, again.built_s) == (True, built.id, built.built_s)
    (built.path / environments.READY).unlink()
    (built.path / "half").touch()
    rebuilt = ensure(cache, [])
    assert (rebuilt.cached, rebuilt.id, (built.path / "half").exists()) == (False, built.id, False)
    version = subprocess.check_output([rebuilt.interpreter, "-c", "import sys; print(sys.prefix)"], text=True)
    assert version.strip() == str(rebuilt.path)


def test_two_processes_build_once(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", ENSURE, str(tmp_path / "cache"), str(tmp_path / "log")]
    environment = {**os.environ, "PYTHONPATH": str(launch.package_root())}
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment) for _ in range(2)]
    assert sorted(process.communicate(timeout=60)[0] for process in both) == [b"False\n", b"True\n"]


def test_a_build_that_is_told_to_stop_leaves_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log, pytest.raises(environments.BuildStopped):
        environments.ensure(None, [], tmp_path / "cache", log, stop=lambda: True)
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_a_failed_build_fails_the_run_with_the_installers_words(runs: Runs, tmp_path: Path) -> None:
    pip = ["--no-index", "no-such-package-at-all"]
    run_dir = runs.start("echo never", environment={"pip": [*pip], "cache": str(tmp_path / "cache")})
    status = runs.end(run_dir)
    assert status.state == statuses.FAILED
    assert status.reason is not None
    assert status.reason.startswith("the environment could not be built (uv failed): ")
    assert "no-such-package-at-all" in status.reason
    assert "\n" not in status.reason
    assert "no-such-package-at-all" in (run_dir / layout.BUILD_LOG).read_text()
    assert runs.log(run_dir) == b""


def test_a_job_runs_in_the_environment_that_was_built(runs: Runs, tmp_path: Path) -> None:
    ask = "python -c 'import sys; print(sys.prefix); print(sys.path[-1])'"
    run_dir = runs.start(ask, environment={"cache": str(tmp_path / "cache")})
    status = runs.end(run_dir)
    assert status.environment is not None
    assert status.environment.cached is False
    own, kept = runs.log(run_dir).decode().splitlines()
    assert own == str(run_dir / "python")
    assert kept.startswith(str(tmp_path / "cache" / status.environment.id))


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (
            "2.3",
            (
                f"this machine has no Python 2.3, which the environment asks for (it has {HERE}): "
                f"install python2.3, or ask for python={HERE} in the conda file"
            ),
        ),
        ("latest", "the Python version 'latest' is not of the form 3.11"),
    ],
)
def test_a_python_that_is_not_there_is_refused(tmp_path: Path, python: str, message: str) -> None:
    with pytest.raises(environments.EnvironmentRefused) as caught:
        ensure(tmp_path / "cache", [], python)
    assert str(caught.value) == message


def test_a_requirement_with_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(environments.EnvironmentRefused, match="holds a line break"):
        ensure(tmp_path / "cache", ["six\n-r /etc/passwd"])


CONDA = """#!/bin/sh
echo "$(basename "$0") $*" >> {calls}
echo "Solving environment"
while [ -n "$1" ]; do case "$1" in -p) prefix=$2;; -f) file=$2;; esac; shift; done
if grep -q no-such "$file"; then
  printf 'PackagesNotFoundError: The following packages are not available:\\n\\n  - no-such\\n'; exit 1
fi
mkdir -p "$prefix/bin" "$prefix/conda-meta" && ln -s {python} "$prefix/bin/python"
"""


def a_conda(folder: Path, name: str = "conda") -> Path:
    """Write a stand-in for conda that notes how it was called."""
    folder.mkdir(exist_ok=True)
    command = folder / name
    command.write_text(CONDA.format(calls=folder / "calls", python=sys.executable))
    command.chmod(0o755)
    return command


def test_a_conda_file_is_built_by_the_machines_conda_as_it_is_and_once(runs: Runs, tmp_path: Path) -> None:
    conda, text = a_conda(tmp_path / "bin"), "dependencies:\n- r-base\n- python=3.8\n"
    with (tmp_path / "log").open("wb") as log:
        first = environments.ensure_conda(text, tmp_path / "cache", log, conda=str(conda))
        second = environments.ensure_conda(text, tmp_path / "cache", log, conda=str(conda))
    folder = tmp_path / "cache" / first.id
    assert (first.cached, second.cached, first.interpreter) == (False, True, folder / "env/bin/python")
    assert (tmp_path / "bin/calls").read_text() == f"conda env create -p {folder}/env -f {folder}/conda.yml\n"
    assert (folder / "conda.yml").read_text() == text
    assert (tmp_path / "log").read_text().splitlines()[:2] == [
        f"environment {first.id}: conda file, by {conda}",
        "Solving environment",
    ]


@pytest.mark.processes
def test_a_job_runs_in_its_conda_environment(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{a_conda(tmp_path / 'bin').parent}{os.pathsep}{os.environ['PATH']}")
    run_dir = runs.start(
        "command -v python; echo $CONDA_PREFIX; echo $PYTHONUSERBASE",
        environment={"cache": str(tmp_path / "cache"), "conda": "dependencies:\n- gdal\n"},
    )
    status = runs.end(run_dir)
    assert status.environment is not None
    prefix = tmp_path / "cache" / status.environment.id / "env"
    assert runs.log(run_dir).decode().splitlines() == [f"{prefix}/bin/python", str(prefix), f"{run_dir}/python"]


@pytest.mark.processes
def test_what_conda_cannot_find_is_the_runs_reason(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{a_conda(tmp_path / 'bin').parent}{os.pathsep}{os.environ['PATH']}")
    plan: dict[str, Json] = {"cache": str(tmp_path / "cache"), "conda": "dependencies:\n- no-such\n"}
    run_dir = runs.start("true", environment=plan)
    assert runs.end(run_dir).reason == (
        "the environment could not be built (conda failed): "
        "PackagesNotFoundError: The following packages are not available: - no-such"
    )
    assert "Solving environment" in (run_dir / layout.BUILD_LOG).read_text()


def test_a_machine_without_conda_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "find_conda", lambda: None)
    with (tmp_path / "log").open("wb") as log, pytest.raises(environments.EnvironmentRefused) as caught:
        environments.ensure_conda("x", tmp_path / "cache", log)
    assert str(caught.value) == ("the environment is a conda file, and this machine has no conda, mamba or micromamba")


def test_the_faster_conda_is_taken_and_one_that_is_activated_is_found(tmp_path: Path) -> None:
    elsewhere = a_conda(tmp_path / "opt")
    assert environments.find_conda({"PATH": str(tmp_path / "bin")}) is None
    assert environments.find_conda({"PATH": str(tmp_path / "bin"), "CONDA_EXE": str(elsewhere)}) == str(elsewhere)
    for name in ("conda", "micromamba", "mamba"):
        found = a_conda(tmp_path / "bin", name)
        assert environments.find_conda({"PATH": str(tmp_path / "bin")}) == str(found)


FULL = "#!/bin/sh\necho 'error: failed to write to file: No space left on device (os error 28)'; exit 2\n"


def test_a_full_disk_says_so_and_how_to_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uv").write_text(FULL)
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setattr(environments, "find_uv", lambda: str(tmp_path / "uv"))
    with pytest.raises(environments.EnvironmentRefused) as caught:
        ensure(tmp_path / "cache", [])
    (lock,) = (tmp_path / "cache").iterdir()
    assert str(caught.value) == (
        f"the environment could not be built: the disk of {lock.with_suffix('')} is full. "
        "Make room: invoke environments.prune"
    )


def test_a_disk_that_is_full_for_us_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(layout, "write_bytes", refuse)
    with pytest.raises(environments.EnvironmentRefused, match=r"is full\. Make room: invoke environments\.prune"):
        ensure(tmp_path / "cache", [])
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_the_id_tells_contents_apart_and_ignores_order() -> None:
    assert environments.content_id("3.11.7", ["a", "b"]) == environments.content_id("3.11.7", ["b", "a"])
    assert (
        len({environments.content_id(*key) for key in (("3.11.7", ["a"]), ("3.11.8", ["a"]), ("3.11.7", ["b"]))}) == 3
    )


def test_pips_settings_are_said_in_uvs_words(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://mirror.example/simple\n")
    given = {
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_FIND_LINKS": "/a /b",
        "PYTHONPATH": "/elsewhere",
    }
    settings = installers.installer_environment(given)
    assert {key: value for key, value in settings.items() if key in ("UV_DEFAULT_INDEX", "UV_FIND_LINKS")} == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_FIND_LINKS": "/a,/b",
    }
    assert "PYTHONPATH" not in settings
    own = installers.installer_environment({**given, "UV_DEFAULT_INDEX": "https://own.example/simple"})
    assert own["UV_DEFAULT_INDEX"] == "https://own.example/simple"
    assert "UV_FIND_LINKS" not in own


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "Using Python 3.11.7\nerror: No solution found when resolving dependencies\n"
            "  cause: Because there is no version of six==99, it can't be.\n\nhint: An index\n",
            "No solution found when resolving dependencies: Because there is no version of six==99, it can't be.",
        ),
        (
            "  \u00d7 No solution found when resolving dependencies:\n"
            "  ╰─▶ Because a was not\n      found, it can't be.\n",
            "No solution found when resolving dependencies: Because a was not found, it can't be.",
        ),
        (
            "Looking in links: x\nERROR: Could not find a version (from versions: none)\nERROR: No matching one\n",
            "Could not find a version (from versions: none): No matching one",
        ),
        (
            "Solving environment: failed\n\nPackagesNotFoundError: The following packages are not available:\n\n"
            "  - no-such\n\nCurrent channels:\n\n  - conda-forge\n",
            "PackagesNotFoundError: The following packages are not available: - no-such",
        ),
        ("error    libmamba Could not solve for environment specs\n", "libmamba Could not solve for environment specs"),
        ("#7 0.41 error: no conda\nERROR: failed to solve\n", "no conda: failed to solve"),
        ("one\ntwo\n", "two"),
        ("", ""),
        ("error: " + "x" * 1000, "x" * 399 + "…"),
    ],
)
def test_an_installers_error_is_told_in_one_line(output: str, words: str) -> None:
    assert installers.gist(output) == words


class _Locked(http.server.BaseHTTPRequestHandler):
    """A package index that wants a password, which makes uv look for one."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic realm=x")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


def test_a_build_leaves_nothing_in_the_home_but_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in [name for name in os.environ if name.startswith(("XDG_", "UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    with http.server.HTTPServer(("127.0.0.1", 0), _Locked) as index:
        threading.Thread(target=index.serve_forever, daemon=True).start()
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{index.server_port}/simple")
        with pytest.raises(environments.EnvironmentRefused, match="no-such-package"):
            ensure(tmp_path / "cache", ["no-such-package"])
        index.shutdown()
    assert [path.name for path in home.iterdir()] == [".cache"]
    assert (tmp_path / "cache" / "credentials").is_dir()


def test_credentials_that_uv_was_given_stay_in_use(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert installers.credentials(home, tmp_path / "c") == {"UV_CREDENTIALS_DIR": str(tmp_path / "c/credentials")}
    (tmp_path / ".local/share/uv/credentials").mkdir(parents=True)
    assert installers.credentials(home, tmp_path / "c") == {}
    elsewhere = {**home, "XDG_DATA_HOME": str(tmp_path / "data")}
    assert installers.credentials(elsewhere, tmp_path / "c") != {}
