"""The sum of rank + 1 over all ranks, known to every rank: an allreduce through rank 0."""

import argparse
import os
import pathlib
import socket

import meeting


def allreduce(rank, world, number, patience):
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if rank:
        with meeting.connect(address, port, patience) as master:
            meeting.send(master, number)
            return meeting.receive(master)
    with socket.create_server(("", port), backlog=world) as listening:
        listening.settimeout(patience)
        others = [listening.accept()[0] for _ in range(world - 1)]
        for other in others:
            other.settimeout(patience)
        total = number + sum(meeting.receive(other) for other in others)
        for other in others:
            meeting.send(other, total)
            other.close()
        return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--patience", type=float, default=60)
    patience = parser.parse_args().patience
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    total = allreduce(rank, world, rank + 1, patience)
    expected = world * (world + 1) // 2
    local, node = os.environ["LOCAL_RANK"], os.environ["NODE_RANK"]
    print(f"rank {rank} of {world} (node {node}, local rank {local}): sum {total}, expected {expected}")
    if rank == 0:
        pathlib.Path("outputs").mkdir(exist_ok=True)
        pathlib.Path("outputs/sum.txt").write_text(f"{total}\n")
    return total != expected


if __name__ == "__main__":
    raise SystemExit(main())
