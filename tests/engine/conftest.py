"""A throwaway project with the shipped program, its own emulator and the real engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from console.yard import Yard
from emulator import launch
from engine import obtain
from runtime.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Site:
    """One clone: its folder and what a user does there."""

    root: Path

    @property
    def yard(self) -> Yard:
        return Yard(Project(self.root))

    def edit(self, compute: str, **fields: object) -> None:
        """Change fields of a cluster in the stack's file; None takes one out."""
        path = self.root / "stacks/local.yaml"
        document = yaml.safe_load(path.read_text())
        target = document["workspaces"]["research"]["computes"][compute]
        for name, value in fields.items():
            target.pop(name, None)
            if value is not None:
                target[name] = value
        path.write_text(yaml.safe_dump(document))

    def pulumi(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run plain pulumi as a user would after `eval "$(invoke env local)"`."""
        import os

        environment = {**os.environ, **self.yard.variables("local"), **extra}
        return subprocess.run(
            ["pulumi", *arguments], cwd=self.root, env=environment, text=True, capture_output=True, check=False
        )

    def arm(self, path: str, method: str = "GET", body: object = None) -> dict[str, object]:
        """Call the emulator's ARM behind everybody's back, signed in as anyone would."""
        import ssl
        import urllib.error
        import urllib.parse
        import urllib.request

        found = launch.ensure(self.root / ".trainyard/emulator")
        context = ssl.create_default_context(cafile=found.ca_file)
        form = urllib.parse.urlencode({
            "grant_type": "client_credentials", "client_id": found.client_id, "client_secret": found.client_secret,
            "scope": f"{found.resource_manager}.default",
        }).encode()  # fmt: skip
        login = f"{found.resource_manager}{found.tenant_id}/oauth2/v2.0/token"
        with urllib.request.urlopen(login, form, context=context) as answer:
            token = json.load(answer)["access_token"]
        url = f"{found.resource_manager.rstrip('/')}/subscriptions/{found.subscription_id}{path}"
        content = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=context) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None
        result: dict[str, object] = json.loads(text) if text else {}
        return result

    def put(self, path: str, body: object) -> dict[str, object]:
        """Put a resource behind everybody's back and wait until it stands."""
        self.arm(path, "PUT", body)
        deadline = time.monotonic() + 60
        while True:
            found = self.arm(path)
            state = found.get("properties", {}).get("provisioningState", "Succeeded")  # type: ignore[attr-defined]
            if state == "Succeeded":
                return found
            assert state not in ("Failed", "Canceled"), found
            assert time.monotonic() < deadline, found


def make_site(folder: Path) -> Site:
    """Lay out a project as a clone has it."""
    (folder / "stacks").mkdir(parents=True)
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    for name in ("__main__.py", "local.yaml", "prod.yaml"):
        shutil.copy(ROOT / "stacks" / name, folder / "stacks")
    return Site(folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert obtain.find() is not None, "no Pulumi engine: invoke setup"
    made = make_site(tmp_path_factory.mktemp("clone"))
    yield made
    launch.stop(made.root / ".trainyard/emulator")
