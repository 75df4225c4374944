"""Run by test_clients_jobs as a process of its own: azure-ai-ml, azure-storage-blob and MLflow as users call them.

Prints one JSON object. Names below `localhost` are resolved as systemd-resolved and macOS do; glibc alone doesn't.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
import time
from pathlib import Path

_real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: _real(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more
)

from azure.ai.ml import MLClient, MpiDistribution, Output, PyTorchDistribution, command  # noqa: E402 - after the resolver
from azure.ai.ml.entities import Environment, Model  # noqa: E402
from azure.core.exceptions import ResourceNotFoundError  # noqa: E402
from azure.identity import ClientSecretCredential  # noqa: E402
from azure.storage.blob import BlobServiceClient, ContainerClient, generate_container_sas  # noqa: E402

ORIGIN = "https://" + os.environ["ARM_METADATA_HOSTNAME"]
SUB = os.environ["ARM_SUBSCRIPTION_ID"]
WS = f"/subscriptions/{SUB}/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/client-ws"
TRAIN = """
import os, sys, time, mlflow_free
print("word", sys.argv[1], flush=True)
os.makedirs("outputs", exist_ok=True)
open("outputs/model.txt", "w").write("m")
open(os.path.join(sys.argv[2], "named.txt"), "w").write("n")
time.sleep(2)
print("bye")
"""


def credential() -> ClientSecretCredential:
    names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    return ClientSecretCredential(
        *(os.environ[name] for name in names), authority=ORIGIN, disable_instance_discovery=True
    )


def jobs(client: MLClient, folder: Path) -> dict[str, object]:
    source = folder / "src"
    source.mkdir()
    (source / "train.py").write_text(TRAIN)
    (source / "mlflow_free.py").write_text("")
    environment = Environment(name="bare", image="mcr/base", conda_file={"dependencies": ["python=3.11"]})
    made = command(
        code=str(source),
        command="python train.py ${{inputs.word}} ${{outputs.out}}",
        inputs={"word": "a b"},
        outputs={"out": Output(type="uri_folder")},
        environment=environment,
        compute="cpu",
        experiment_name="exp",
        name="sdk-job",
    )
    begun = client.jobs.create_or_update(made)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        client.jobs.stream("sdk-job")
    client.jobs.download("sdk-job", download_path=folder / "down", all=True)
    files = sorted(path.relative_to(folder / "down").as_posix() for path in (folder / "down").rglob("*.txt"))
    model = client.models.create_or_update(Model(name="digits", path=str(source), type="custom_model"))
    waiting = command(command="sleep 60", environment=environment, compute="cpu", name="sdk-canceled")
    client.jobs.create_or_update(waiting)
    client.jobs.begin_cancel("sdk-canceled").result()
    code = begun.code.rpartition("/")[0]
    again = client.jobs.create_or_update(
        command(code=str(source), command="true", environment=environment, compute="cpu", name="sdk-again")
    )
    return {
        "submitted": begun.status,
        "ended": client.jobs.get("sdk-job").status,
        "streamed": [line for line in said.getvalue().splitlines() if line in {"word a b", "bye"}],
        "files": files,
        "model": [model.name, model.version],
        "canceled": client.jobs.get("sdk-canceled").status,
        "listed": sorted(job.name for job in client.jobs.list()),
        "code is reused": again.code.rpartition("/")[0] == code,
    }


def streamed(client: MLClient, name: str) -> list[str]:
    """Stream a job to its end; return what its own log said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        client.jobs.stream(name)
    return [line.removeprefix("says ") for line in said.getvalue().splitlines() if line.startswith("says ")]


def downloaded(client: MLClient, name: str, folder: Path) -> dict[str, str]:
    """Download a job; return its logs but the environment's, and its outputs."""
    client.jobs.download(name, download_path=folder / name, all=True)
    root = folder / name / "artifacts"
    names = [path for path in sorted(root.rglob("*")) if path.is_file() and "azureml-logs" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_text() for path in names}


def targets(client: MLClient, folder: Path) -> dict[str, object]:
    """Run on two nodes, on an instance, on serverless compute."""
    line = "echo says $RANK of $WORLD_SIZE; echo $LOCAL_RANK > outputs/$RANK.txt; sleep 1"
    environment = Environment(name="bare", image="mcr/base")
    seen: dict[str, object] = {"computes": sorted((one.name, one.type) for one in client.compute.list())}
    two = {"instance_count": 2, "environment": environment, "compute": "cpu"}
    made = {
        "torch": command(command=line, distribution=PyTorchDistribution(process_count_per_instance=2), **two),
        "instance": command(command="echo says hello", environment=environment, compute="client-ci"),
        "serverless": command(command="echo says hello", environment=environment, compute="serverless"),
        "nowhere": command(command="echo says hello", environment=environment, instance_type="Standard_D2_v3"),
    }
    if os.environ.get("WITH_MPI"):
        made["mpi"] = command(command=line, distribution=MpiDistribution(process_count_per_instance=2), **two)
    for name, job in made.items():
        job.name = f"on-{name}"
        client.jobs.create_or_update(job)
        said = streamed(client, job.name)
        seen[name] = [client.jobs.get(job.name).status, said, downloaded(client, job.name, folder)]
    waiting = command(command="sleep 60", distribution=PyTorchDistribution(), **two)
    waiting.name = "on-canceled"
    client.jobs.create_or_update(waiting)
    client.jobs.begin_cancel("on-canceled").result()
    return {**seen, "canceled": client.jobs.get("on-canceled").status}


def blobs(client: MLClient) -> dict[str, object]:
    secrets = client.datastores.get("workspaceblobstore", include_secrets=True)
    account, container, key = secrets.account_name, secrets.container_name, secrets.credentials.account_key
    token = generate_container_sas(
        account, container, account_key=key, permission="racwdl", expiry="2099-01-01T00:00:00Z"
    )
    path_style = f"{ORIGIN}/{account}.blob"
    ways = {
        "signature, path style": ContainerClient.from_container_url(f"{path_style}/{container}?{token}"),
        "key, path style": BlobServiceClient(
            path_style, credential={"account_name": account, "account_key": key}
        ).get_container_client(container),
        "key, own host": BlobServiceClient(
            f"https://{account}.blob.core.{ORIGIN.removeprefix('https://')}", credential=key
        ).get_container_client(container),
        "token, own host": BlobServiceClient(
            f"https://{account}.blob.core.{ORIGIN.removeprefix('https://')}", credential=credential()
        ).get_container_client(container),
    }
    seen: dict[str, object] = {}
    for number, (way, box) in enumerate(ways.items()):
        name = f"Ways/{number} ä.bin"
        data = os.urandom(300_000)
        box.upload_blob(name, data, metadata={"way": str(number)}, validate_content=True, max_concurrency=2)
        back = box.download_blob(name, offset=0, length=len(data), max_concurrency=2).readall()
        (listed,) = box.list_blobs(name_starts_with=f"Ways/{number}", include=["metadata"])
        box.delete_blob(name)
        with contextlib.suppress(ResourceNotFoundError):
            box.get_blob_client(name).get_blob_properties()
            back = b"not deleted"
        seen[way] = [back == data, listed.name == name, listed.size, listed.metadata]
    big = ContainerClient.from_container_url(
        f"{path_style}/{container}?{token}", max_single_put_size=1000, max_block_size=1000
    )
    data = os.urandom(3500)
    big.upload_blob("big", data)
    seen["blocks"] = big.download_blob("big").readall() == data
    return seen


def tracking() -> dict[str, object]:
    os.environ["MLFLOW_TRACKING_TOKEN"] = credential().get_token(f"{ORIGIN}/.default").token
    import mlflow

    mlflow.set_tracking_uri(f"{ORIGIN}/mlflow/v2.0{WS}")
    mlflow.set_experiment("remote")
    with mlflow.start_run(run_name="r") as run:
        mlflow.log_param("p", 1)
        mlflow.log_metric("m", 0.5, step=1)
        mlflow.log_metric("m", 0.75, step=2)
    client = mlflow.MlflowClient()
    back = client.get_run(run.info.run_id)
    job = client.get_run("sdk-job")
    return {
        "metrics": back.data.metrics,
        "params": back.data.params,
        "status": back.info.status,
        "history": [metric.value for metric in client.get_metric_history(run.info.run_id, "m")],
        "job": job.info.status,
        "found": len(client.search_runs([back.info.experiment_id])),
    }


def main() -> None:
    begun = time.monotonic()
    client = MLClient(credential(), SUB, "rg", "client-ws")
    if sys.argv[2:] == ["targets"]:
        seen: dict[str, object] = targets(client, Path(sys.argv[1]))
    else:
        seen = {"jobs": jobs(client, Path(sys.argv[1])), "blobs": blobs(client), "tracking": tracking()}
    sys.stdout.write("\n" + json.dumps(seen) + "\n")
    sys.stderr.write(f"{time.monotonic() - begun:.1f} s\n")


if __name__ == "__main__":
    main()
