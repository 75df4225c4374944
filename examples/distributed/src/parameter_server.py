"""The sum of worker + 1 over all workers, kept by a parameter server that serves until it is ended, as TensorFlow's."""

import argparse
import json
import os
import pathlib
import socket

import meeting


def serve(port, workers):
    """Add up a number of each worker, then tell each the sum; and go on listening, like any parameter server."""
    with socket.create_server(("", port)) as listening:
        while True:
            connections = [listening.accept()[0] for _ in range(workers)]
            total = sum(meeting.receive(connection) for connection in connections)
            print(f"sum {total} of {workers} workers", flush=True)
            for connection in connections:
                meeting.send(connection, total)
                connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--patience", type=float, default=60)
    patience = parser.parse_args().patience
    config = json.loads(os.environ["TF_CONFIG"])
    task, cluster = config["task"], config["cluster"]
    workers = len(cluster["worker"])
    if task["type"] == "ps":
        serve(int(cluster["ps"][task["index"]].rpartition(":")[2]), workers)
    address, _, port = cluster["ps"][0].rpartition(":")
    with meeting.connect(address, int(port), patience) as server:
        meeting.send(server, task["index"] + 1)
        total = meeting.receive(server)
    expected = workers * (workers + 1) // 2
    print(f"worker {task['index']} of {workers}: sum {total}, expected {expected}")
    if task["index"] == 0:
        pathlib.Path("outputs").mkdir(exist_ok=True)
        pathlib.Path("outputs/sum.txt").write_text(f"{total}\n")
    return total != expected


if __name__ == "__main__":
    raise SystemExit(main())
