"""`python -m emulator --home HOME`: serve one cloud in the foreground until SIGTERM or SIGINT.

Everything that it knows is below HOME and durable: after any kind of death the next start has all that was
acknowledged, finishes the operations that were under way and takes the running jobs over.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import endpoint, homes

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    import uvicorn

    from emulator.cloud import Cloud


WATCH_S = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and serve. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description="Play Azure on this machine.")
    parser.add_argument("--home", required=True, type=Path, help="the folder that holds everything (made 0700)")
    parser.add_argument("--transitions", choices=("immediate", "time"), default="immediate")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        return serve(homes.prepare(options.home), options.transitions)
    except homes.HomeError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def serve(home: Path, transitions: str) -> int:
    """Take the home's lock, bind its port, bring the cloud up and serve.

    Raises `HomeError` when the home is in use or its port taken.
    """
    if homes.try_lock(home / "lock") is None:
        raise homes.HomeError(f"Another emulator already runs with the home {home}.")
    port = homes.ports(home).server
    try:
        sockets = homes.listen(port)
    except OSError as error:
        text = f"Port {port} of this emulator is taken by another program ({error.strerror}). End that program."
        raise homes.HomeError(text) from error
    try:
        cloud = build(home, port, transitions)
        _run(cloud, sockets)
    finally:
        for bound in sockets:
            bound.close()
    return 0


def build(home: Path, port: int, transitions: str) -> Cloud:
    """Open the state and finish what a dead process left."""
    from emulator import arm, tls
    from emulator.cloud import Cloud
    from emulator.clusters import Clusters
    from emulator.instances import Instances
    from emulator.ssh import Servers
    from emulator.state import State

    tls.ensure(home)
    state = State(home / "state.db")
    cloud = Cloud(
        home, state, f"https://localhost:{port}", homes.secret(home), endpoint.cache_folder() / "environments"
    )
    cloud.transitions = "time" if transitions == "time" else "immediate"
    cloud.ssh = Servers(home)
    arm.resume(cloud)
    cloud.clusters = Clusters(cloud)
    cloud.instances = Instances(cloud)
    return cloud


def _run(cloud: Cloud, sockets: Sequence[socket.socket]) -> None:
    import uvicorn

    from emulator import tls
    from emulator.app import App

    found = tls.files(cloud.home)
    config = uvicorn.Config(
        App(cloud),
        lifespan="off",
        log_config=None,
        access_log=False,
        ws="none",
        ssl_certfile=str(found.certificate),
        ssl_keyfile=str(found.key),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    if cloud.ssh is not None:
        cloud.ssh.sweep(lambda name: not name.startswith("/subscriptions/") or cloud.state.get(name) is not None)
        cloud.ssh.resume()
    if cloud.clusters is not None:
        cloud.clusters.start()
    if cloud.instances is not None:
        cloud.instances.start()
    endpoint.write(cloud.home)
    server = uvicorn.Server(config)
    threading.Thread(target=_watch, args=(cloud.home, server), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after its own shutdown: it must end in our `finally`, not in the default.
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        server.run(sockets=list(sockets))
    finally:
        if cloud.instances is not None:
            cloud.instances.stop()
        if cloud.clusters is not None:
            cloud.clusters.stop()
        if cloud.ssh is not None:
            cloud.ssh.close()
        cloud.state.close()


def _watch(home: Path, server: uvicorn.Server) -> None:
    """End the server when its home is deleted: a clone that is gone leaves no process behind."""
    lock = home / "lock"
    mine = lock.stat()
    while lock.exists() and os.path.samestat(lock.stat(), mine):
        time.sleep(WATCH_S)
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
