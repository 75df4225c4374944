"""The second way to an engine: the vendor's own installer, through the Python SDK, in a child process with hard limits.

Where the network drops packets a connection can hang for minutes, name look-up included, so nothing runs in process.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = "get.pulumi.com"
PROBE_S = 4
INSTALL_S = 300
PROBE = """
import sys, urllib.request
urllib.request.urlopen(f"https://{sys.argv[1]}/install.sh", timeout=3).close()
"""
INSTALL = """
import sys
from pulumi.automation import PulumiCommand
from semver import VersionInfo
PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]), skip_version_check=True)
"""


def install(version: str, staging: Path, home: Path, progress: Callable[[str], None]) -> None:
    """Have the vendor's installer put the engine in `staging/bin`. Blocks, at most `PROBE_S + INSTALL_S` seconds.

    Raises:
        EngineError: not reachable, too slow, or the installer failed; the log in `home` has its words.

    """
    progress(f"asking {HOST}")
    log = home / f"install-{version}.log"
    if not limited([sys.executable, "-c", PROBE, HOST], PROBE_S, log):
        raise EngineError(f"{HOST} does not answer from here")
    progress(f"downloading pulumi {version} with the vendor's installer")
    done = limited([sys.executable, "-c", INSTALL, str(staging), version], INSTALL_S, log)
    shutil.rmtree(home / "installer-home", ignore_errors=True)
    if not done:
        raise EngineError("the installer failed", f"its words are in {log}")


def limited(argv: list[str], limit_s: float, log: Path) -> bool:
    """Run `argv` with its output in `log`; tell whether it ended well in time. Kills all it started otherwise."""
    with log.open("w", encoding="utf-8") as output:
        environment = {**os.environ, "PULUMI_HOME": str(log.parent / "installer-home")}
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        try:
            return child.wait(limit_s) == 0
        except subprocess.TimeoutExpired:
            output.write(f"stopped after {limit_s} s\n")
            return False
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
