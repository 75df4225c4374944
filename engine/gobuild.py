"""The third way to an engine: Go builds it from the module proxy, from pinned modules kept beside this file.

For machines where only package registries are reachable. The modules' go.sum pins every byte. Sources go to a folder
of the cache that is removed afterwards (1.6 GB), so nothing is left in ~/go; compiled packages stay in Go's own cache,
so an interrupted build goes on where it stopped. Modules that the user already has are taken from there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MODULES = Path(__file__).parent / "go"
OLDEST_GO = "1.25"
SDK = "github.com/pulumi/pulumi/sdk/v3"
ENGINE_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
HOST_PACKAGE = f"{SDK}/python/cmd/pulumi-language-python"
HELPER = "python/cmd/pulumi-language-python-exec"
YAML_PACKAGE = "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml"
STALLED_S = 600
"""A build that says nothing for so long is stuck: linking the engine, its longest silence, takes under a minute."""
TELL_S = 1.0


def build(version: str, staging: Path, home: Path, progress: Callable[[str], None]) -> None:
    """Build the engine, its Python language host and that host's helper into `staging/bin`. Blocks for minutes.

    Raises:
        EngineError: no Go, or a step failed; the log in `home` has Go's words.

    """
    if shutil.which("go") is None:
        raise EngineError("no `go` on PATH")
    sources = home / "go-modules"
    environment = go_environment(os.environ, sources)
    log = home / f"build-{version}.log"
    target = f"{staging / 'bin'}{os.sep}"
    stamp = f"-s -w -X {SDK}/go/common/version.Version=v{version}"
    with log.open("w", encoding="utf-8") as words:
        for folder, package, flags in (("pulumi", ENGINE_PACKAGE, stamp), ("language-python", HOST_PACKAGE, "-s -w")):
            step = Step(f"building {package.rpartition('/')[2]}", progress, words)
            step.run(compiling(package, flags, target), MODULES / folder, environment)
        helper = staging / "bin" / Path(HELPER).name
        shutil.copyfile(module_folder(environment, words) / HELPER, helper)
        helper.chmod(0o755)
    shutil.rmtree(sources, ignore_errors=True)


def build_yaml_host(version: str, staging: Path, home: Path, progress: Callable[[str], None]) -> None:
    """Build the language host for programs in Pulumi YAML into `staging/bin`. Blocks for about a minute.

    Raises:
        EngineError: no Go, or the build failed; the log in `home` has Go's words.

    """
    if shutil.which("go") is None:
        raise EngineError("no `go` on PATH")
    sources = home / "go-modules-yaml"
    with (home / f"build-yaml-{version}.log").open("w", encoding="utf-8") as words:
        step = Step("building pulumi-language-yaml", progress, words)
        argv = compiling(YAML_PACKAGE, "-s -w", f"{staging / 'bin'}{os.sep}")
        step.run(argv, MODULES / "language-yaml", go_environment(os.environ, sources))
    shutil.rmtree(sources, ignore_errors=True)


def compiling(package: str, flags: str, target: str) -> list[str]:
    """Return the command that builds a package of a pinned module into the folder `target`."""
    return ["go", "build", "-mod=readonly", "-trimpath", "-v", "-ldflags", flags, "-o", target, package]


def go_version() -> str | None:
    """Return the version of the Go on PATH, or None if there is none that works."""
    if shutil.which("go") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        private = {**os.environ, **private_settings(os.environ, Path(folder)), "GOTOOLCHAIN": "local"}
        try:
            return go_answer(["env", "GOVERSION"], private)[0].removeprefix("go")
        except (EngineError, IndexError):
            return None


def private_settings(user: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return what keeps Go out of the user's configuration folder, which is still read, and its counters off.

    Counting (telemetry) would write to the private folder from a process that outlives the command. `mode` is where Go
    looks: golang.org/x/telemetry, internal/telemetry/dir.go.
    """
    counters = folder / "config" / "go" / "telemetry"
    counters.mkdir(parents=True, exist_ok=True)
    (counters / "mode").write_text("off", "ascii")
    settings = Path(user.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "go" / "env"
    return {"GOENV": user.get("GOENV") or str(settings), "XDG_CONFIG_HOME": str(folder / "config")}


def go_environment(user: Mapping[str, str], sources: Path) -> dict[str, str]:
    """Return the environment for Go: the user's proxies and toolchain rules, no workspace, sources in `sources`."""
    private = private_settings(user, sources)
    modules, proxies = go_answer(["env", "GOMODCACHE", "GOPROXY"], {**user, **private})
    own = Path(modules) / "cache" / "download"
    return {
        **user,
        **private,
        "GOMODCACHE": str(sources),
        "GOPROXY": f"{own.as_uri()},{proxies}" if own.is_dir() else proxies,
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOWORK": "off",
        "GOOS": "",
        "GOARCH": "",
        "GIT_TERMINAL_PROMPT": "0",
    }


def go_answer(arguments: list[str], environment: Mapping[str, str]) -> list[str]:
    """Return the lines that Go prints for `arguments`.

    Raises:
        EngineError: Go itself doesn't run.

    """
    try:
        answer = subprocess.run(
            ["go", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"`go {' '.join(arguments)}` does not work", str(error)) from error
    return answer.stdout.splitlines()


def module_folder(environment: dict[str, str], words: IO[str]) -> Path:
    """Return where the engine's own version of the SDK module is unpacked; the helper of the language host is in it.

    Raises:
        EngineError: Go could not download it.

    """
    argv = ["go", "mod", "download", "-json", SDK]
    answer = subprocess.run(
        argv, cwd=MODULES / "pulumi", env=environment, capture_output=True, text=True, timeout=STALLED_S, check=False
    )
    words.write(answer.stderr)
    try:
        return Path(str(json.loads(answer.stdout)["Dir"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"Go could not download {SDK}", f"its words are in {words.name}") from error


class Step:
    """One `go build`: its output goes to the log, its stages to `progress`, and it is stopped when it stalls."""

    def __init__(self, name: str, progress: Callable[[str], None], words: IO[str]) -> None:
        self.name = name
        self.progress = progress
        self.words = words
        self.downloaded = 0
        self.compiled = 0
        self.last_lines: list[str] = []
        self.heard = time.monotonic()

    def run(self, argv: list[str], cwd: Path, environment: dict[str, str]) -> None:
        """Run to the end. Kills all that it started if it stalls or this process is interrupted.

        Raises:
            EngineError: with Go's last words and the log's path.

        """
        started = time.monotonic()
        child = subprocess.Popen(
            argv, cwd=cwd, env=environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        reader = threading.Thread(target=self.read, args=(child.stdout,), daemon=True)
        reader.start()
        try:
            while True:
                try:
                    child.wait(TELL_S)
                    break
                except subprocess.TimeoutExpired:
                    self.progress(self.stage(time.monotonic() - started))
                    if time.monotonic() - self.heard > STALLED_S:
                        raise EngineError(f"{self.name} said nothing for {STALLED_S} s", self.where()) from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            reader.join(timeout=5)
            if child.stdout is not None:
                child.stdout.close()
        if child.returncode:
            raise EngineError(f"{self.name} failed: {' / '.join(self.last_lines)}", self.where())

    def read(self, output: IO[str]) -> None:
        """Copy the build's output to the log and count what it names: `go: downloading ...` or a compiled package."""
        for line in output:
            self.heard = time.monotonic()
            self.words.write(line)
            self.words.flush()
            if line.startswith("go: downloading "):
                self.downloaded += 1
            elif re.fullmatch(r"[\w.~/-]+\n", line):
                self.compiled += 1
            else:
                self.last_lines = [*self.last_lines[-2:], line.strip()]

    def stage(self, seconds: float) -> str:
        """Return one line on how far it is."""
        clock = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
        if self.compiled:
            return f"{self.name}: {self.compiled} packages compiled, {clock}"
        return f"{self.name}: {self.downloaded} modules downloaded, {clock}"

    def where(self) -> str:
        """Return the hint that names the log."""
        return f"Go's words are in {self.words.name}; `go version` must be {OLDEST_GO} or newer"
