"""Sending code to a machine over SSH, the first time and with 1 % changed, beside rsync and a plain SFTP loop.

    python benchmarks/ssh_upload.py [--rounds 3] [--delay-ms 5] [--json]

All three log in anew, with the same key, to the same sshd on loopback, through a proxy that counts bytes; once as the
loopback is, and once with a delay each way, as a machine elsewhere has it. The tree: 2,000 files of 1 to 8 KB and four
of 3 MB, none of which compresses. Ours is all of `submit` to a VirtualMachine: it plans and hashes the snapshot, looks
the machine over, sends what that lacks, makes the run's folder there, and has the supervisor started. `rsync -a` and
paramiko's `SFTPClient.put` for each file only bring the tree. "First" is a machine that has nothing of ours, and a
clone that has sent nothing; SFTP's loop knows nothing of the machine's files, so it sends all of them again. It waits
for four answers a file, a minute and more where there is a delay, so there it is measured once. Exit code 1 when, the
second time, ours takes longer than rsync and 0.25 s, or sends more bytes than twice rsync's and 64 KB; or when it is
ever slower than the SFTP loop.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING

from clone import circumstances
from traffic import through

from runtime import ssh
from tests.ssh import kit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from traffic import Counts, Wire

    Send: TypeAlias = Callable[[], None]

SMALL, LARGE, LARGE_BYTES = 2000, 4, 3_000_000
CHANGED = 0.01
ALLOWED_S, ALLOWED_BYTES, ALLOWED_RATIO = 0.25, 64_000, 2.0
"""What a run's folder and supervisor may take longer, and our own requests and lists may weigh."""
Figure = tuple[float, int]
"""Seconds, and bytes in both directions."""


def make(root: Path, seed: int) -> None:
    """Write the tree: 20 folders of small files, and some large ones."""
    rng = random.Random(seed)  # noqa: S311 - contents of a benchmark
    for number in range(SMALL):
        path = root / f"package_{number // 100}" / f"module_{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randint(1000, 8000)))
    for number in range(LARGE):
        (root / f"weights_{number}.bin").write_bytes(rng.randbytes(LARGE_BYTES))


def change(root: Path, seed: int) -> None:
    """Change one file in a hundred."""
    rng = random.Random(seed)  # noqa: S311 - contents of a benchmark
    for path in rng.sample(sorted(root.glob("package_*/*.txt")), int(SMALL * CHANGED)):
        path.write_bytes(rng.randbytes(path.stat().st_size + 1))


def ours(base: Path, wire: Wire, machine: kit.Machine) -> Send:
    """Return a submission from a new clone; a run has ended before the next is submitted."""
    project, job = base / "clone", base / "job.yml"

    def send() -> None:
        with kit.client(project, machine, wire.port) as made:
            run = made.submit(job)
            SENT.append(time.perf_counter())
            if (ended := run.wait(60)).state != "Completed":
                sys.exit(f"{run.id} is {ended.state}: {ended.record.reason}")

    kit.a_job(base, "true", code="src")
    return send


SENT: list[float] = []
"""When `submit` had returned; what follows is not counted."""


def rsync(base: Path, wire: Wire, machine: kit.Machine) -> Send:
    """Return a copy by rsync over OpenSSH's client."""
    known = base / "known_hosts"
    known.write_text(f"[127.0.0.1]:{wire.port} {machine.host_key}\n")
    key = Path(os.environ["HOME"]) / ".ssh/id_ed25519"
    shell = f"ssh -F none -p {wire.port} -i {key} -o IdentitiesOnly=yes -o UserKnownHostsFile={known}"
    to = f"{getuser()}@127.0.0.1:{machine.home / 'by-rsync'}/"

    def send() -> None:
        subprocess.run(["rsync", "-a", "-e", shell, f"{base / 'src'}/", to], check=True)

    return send


def sftp(base: Path, wire: Wire, machine: kit.Machine) -> Send:
    """Return a copy by paramiko, one file after the other."""
    target, root = machine.home / "by-sftp", base / "src"
    paramiko = ssh.load()

    def send() -> None:
        transport = paramiko.Transport(("127.0.0.1", wire.port))
        key = paramiko.Ed25519Key.from_private_key_file(str(Path(os.environ["HOME"]) / ".ssh/id_ed25519"))
        transport.connect(username=getuser(), pkey=key)
        with transport, paramiko.SFTPClient.from_transport(transport) as client:
            for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
                with contextlib.suppress(OSError):  # there already
                    client.mkdir(str(target / folder.relative_to(root)))
            for path in sorted(path for path in root.rglob("*") if path.is_file()):
                client.put(str(path), str(target / path.relative_to(root)))

    return send


def timed(send: Send, wire: Wire) -> Figure:
    """Run one of them."""
    before, began = wire.counts, time.perf_counter()
    SENT.clear()
    send()
    ended = SENT[0] if SENT else time.perf_counter()
    added: Counts = wire.counts.since(before)
    return ended - began, added.up + added.down


def one_round(folder: Path, seed: int, one_way_s: float) -> dict[str, list[Figure]]:
    """Return first and second time of each, on a machine that has nothing yet."""
    base, found = folder / "base", dict[str, list[Figure]]()
    with machine_in(folder / "machine") as machine, through(machine.port, one_way_s) as wire:
        for name, way in (("ours", ours), ("rsync", rsync), ("sftp", sftp)):
            slow = name == "sftp" and one_way_s > 0
            if slow and seed:
                continue
            make(base / "src", seed)
            send = way(base, wire, machine)
            found[name] = [timed(send, wire)]
            change(base / "src", seed + 1)
            found[name].append(found[name][0] if slow else timed(send, wire))
            shutil.rmtree(base)
    return found


@contextlib.contextmanager
def machine_in(folder: Path) -> Iterator[kit.Machine]:
    """Start an sshd that lets us in with a key in our HOME, which is a temporary one."""
    machine = kit.Machine(folder, more=["Subsystem sftp internal-sftp"])
    machine.let_in(kit.key_pair(Path(os.environ["HOME"]) / ".ssh/id_ed25519"))
    machine.start()
    try:
        yield machine
    finally:
        machine.clean()


def measure(rounds: int, one_way_s: float) -> dict[str, dict[str, Figure]]:
    """Return the medians, by time and way."""
    taken: list[dict[str, list[Figure]]] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            os.environ["HOME"] = f"{name}/user"
            os.environ["TRAINYARD_CACHE"] = f"{name}/cache"
            taken.append(one_round(Path(name), number, one_way_s))
    return {
        when: {
            way: (
                statistics.median(found[way][at][0] for found in taken if way in found),
                int(statistics.median(found[way][at][1] for found in taken if way in found)),
            )
            for way in taken[0]
        }
        for at, when in enumerate(("first", "second"))
    }


def missed(medians: dict[str, dict[str, Figure]]) -> bool:
    """Tell whether a goal is missed."""
    mine, its = medians["second"]["ours"], medians["second"]["rsync"]
    slow = any(ways["ours"][0] > ways["sftp"][0] for ways in medians.values())
    return slow or mine[0] > its[0] + ALLOWED_S or mine[1] > ALLOWED_RATIO * its[1] + ALLOWED_BYTES


def main() -> int:
    """Measure, print, and tell whether the goals are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=5.0, help="each way")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if kit.SSHD is None or not shutil.which("rsync") or not shutil.which("ssh"):
        sys.exit("sshd, ssh and rsync are needed (Debian: openssh-server, openssh-client, rsync)")
    found = {delay: measure(options.rounds, delay / 1000) for delay in (0.0, options.delay_ms)}
    if options.json:
        print(json.dumps({f"{delay:g} ms each way": medians for delay, medians in found.items()}, indent=1))
    else:
        print(f"{SMALL} small files and {LARGE} of 3 MB over SSH, medians of {options.rounds} ({circumstances()})")
        for delay, medians in found.items():
            for when, ways in medians.items():
                shown = "   ".join(
                    f"{way} {seconds:.2f} s, {count / 1e6:.2f} MB ({ways['ours'][0] / seconds:.2f})"
                    for way, (seconds, count) in ways.items()
                )
                print(f"  {delay:g} ms each way, {when:<8}{shown}")
        print("in brackets: our seconds by theirs")
    return int(any(missed(medians) for medians in found.values()))


if __name__ == "__main__":
    sys.exit(main())
