"""What torch.distributed does at its start, on plain sockets: rendezvous at MASTER_ADDR, then a sum over all ranks."""

import argparse
import os
import socket
import struct
import time

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1)
args = parser.parse_args()
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))


def receive(connection: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        chunk = connection.recv(count - len(got))
        if not chunk:
            raise SystemExit("a rank went away")
        got += chunk
    return got


def connect() -> socket.socket:
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(address, 5)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


peers = []
if rank == 0:
    server = socket.create_server(address, backlog=world)
    server.settimeout(60)
    while len(peers) < world - 1:
        peers.append(server.accept()[0])
else:
    peers.append(connect())

for epoch in range(args.epochs):
    mine = (rank + 1) * (epoch + 1)
    if rank == 0:
        total = mine + sum(struct.unpack("!q", receive(peer, 8))[0] for peer in peers)
        for peer in peers:
            peer.sendall(struct.pack("!q", total))
    else:
        peers[0].sendall(struct.pack("!q", mine))
        (total,) = struct.unpack("!q", receive(peers[0], 8))
    print(f"epoch {epoch}: rank {rank} of {world}: sum {total}", flush=True)
