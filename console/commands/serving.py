"""Models and endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from invoke import Context


@command(default=True, name="list", help={"stack": STACK, "json": JSON})
def models_list(_c: Context, stack: str = "local", json: bool = False) -> None:
    """List the registered models.

    Example: invoke models
    """
    from console import listings
    from console.yard import Yard

    found = Yard.here().models(stack)
    if json:
        dump([model.document() for model in found])
    else:
        print("\n".join(listings.models(found)))


@command(
    name="register",
    help={
        "run": "Take it from this run's outputs; `best` takes the run with the highest --metric.",
        "metric": "What `best` goes by (default: accuracy).",
        "name": "The model's name.",
        "path": "File or folder in the run's folder, e.g. outputs/model; without --run, a local path.",
        "stack": STACK,
        "json": JSON,
    },
)
def models_register(
    _c: Context,
    name: str,
    path: str = "outputs/model",
    run: str | None = None,
    metric: str = "accuracy",
    stack: str = "local",
    json: bool = False,
) -> None:
    """Register a model in the workspace, with the SHA-256 of every file.

    Example: invoke models.register --name digits --run best --path outputs/model
    """
    from console.yard import Yard

    model = Yard.here().register(stack, name, path, run, metric)
    if json:
        dump(model.document())
    else:
        print(f"  {model.name}:{model.version} is registered" + (f", from {model.run}" if model.run else ""))


@command(
    positional=["file"],
    help={
        "file": "A deployment file in CLI v2's schema.",
        "stack": STACK,
        "json": JSON,
        "trust": "SHA-256 of a model file that may be loaded although it can hold code; may be given again.",
    },
    iterable=["trust"],
)
def deploy(_c: Context, file: str, trust: list[str], stack: str = "local", json: bool = False) -> None:
    """Put a model behind HTTP on this machine, with Azure ML's own inference server.

    Example: invoke deploy examples/digits/deployment.yml
    """
    from console import serving
    from console.progress import step
    from console.yard import Yard

    with step("deploy", "starting the service") as work:
        service = Yard.here().deploy(stack, file, trust, work.fact)
        work.note = f"{service.endpoint}  {service.model}  {service.url}"
    if json:
        dump(serving.document(service))


@command(
    positional=["endpoint"],
    help={
        "endpoint": "The endpoint's name.",
        "data": "A JSON file with `data`, and `labels` to compare with.",
        "json": JSON,
    },
)
def score(_c: Context, endpoint: str, data: str | None = None, json: bool = False) -> None:
    """Send data to an endpoint; with labels in the file, say how many answers are right.

    Example: invoke score digits --data examples/digits/unseen.json
    """
    from console import listings, serving
    from console.yard import Yard

    result = serving.score(Yard.here().project, endpoint, serving.scoring_file(data))
    if json:
        dump(result.document())
    else:
        print("\n".join(listings.score(result)))


@command(default=True, name="list", help={"json": JSON})
def endpoints_list(_c: Context, json: bool = False) -> None:
    """List the endpoints on this machine.

    Example: invoke endpoints
    """
    from console import listings, serving
    from console.yard import Yard
    from runtime import services

    found = services.list_services(Yard.here().project)
    if json:
        dump([serving.document(service) for service in found])
    else:
        print("\n".join(listings.services(found)))


@command(positional=["endpoint"], name="delete", help={"endpoint": "The endpoint's name."})
def endpoints_delete(_c: Context, endpoint: str) -> None:
    """Stop an endpoint of this machine and forget it.

    Example: invoke endpoints.delete digits
    """
    from console.yard import Yard
    from runtime import services

    services.delete(Yard.here().project, endpoint)
    print(f"  {endpoint} is stopped and forgotten")
