"""Words of Azure's other v2 files that turn up in a command job's: what they belong to, and what to write instead.

Sources: azure-ai-ml 1.35.2's schemas of the other job types and of components, and a census over the 345 YAML files of
Azure's public examples (2026-07).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic.config import JsonDict

OTHER_JOB_TYPES = ("sweep", "pipeline", "spark", "automl", "finetuning", "parallel", "data_transfer", "import")
READ_ONLY = frozenset({"id", "status", "creation_context", "log_files", "parameters"})
"""Written by the service. azure-ai-ml drops them from a file (`dump_only`), so that a shown job can be submitted."""
READ_ONLY_SERVICE = frozenset({"endpoint", "status", "error_message", "$schema"})
READ_ONLY_OUTPUT = frozenset({"$schema"})
READ_ONLY_ENVIRONMENT = frozenset({"id", "creation_context", "latest_version", "intellectual_property"})
SYSTEM_SERVICES = frozenset({"tracking", "studio"})
"""Services that the workspace adds to every job by itself."""


def with_article(kind: str) -> str:
    """Return `a sweep`, `an automl`."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


_JOBS: dict[str, tuple[str, ...]] = {
    "a sweep job": ("trial", "search_space", "sampling_algorithm", "objective", "early_termination"),
    "a pipeline job": ("jobs", "settings", "component", "schedule"),
    "a spark job": (
        "entry", "args", "conf", "py_files", "jars", "files", "archives", "driver_cores", "driver_memory",
        "executor_cores", "executor_memory", "executor_instances", "dynamic_allocation_enabled",
        "dynamic_allocation_min_executors", "dynamic_allocation_max_executors",
    ),
    "a parallel job": (
        "mini_batch_size", "mini_batch_error_threshold", "error_threshold", "input_data", "logging_level",
        "max_concurrency_per_instance", "retry_settings", "partition_keys", "resources_auto_scale",
    ),
    "an automl job": (
        "primary_metric", "target_column_name", "training_data", "validation_data", "test_data", "featurization",
        "training", "forecasting", "n_cross_validations", "log_verbosity", "training_parameters", "sweep",
        "validation_data_size", "test_data_size", "weight_column_name", "cv_split_column_names",
    ),
    "a finetuning job": ("model", "model_provider", "hyperparameters"),
    "a data_transfer job": ("source", "sink", "data_copy_mode"),
    "a job of kind parallel, automl, finetuning or data_transfer": ("task",),
    "a component": ("version", "is_deterministic"),
    "a schedule": ("create_job", "trigger"),
    "an online or batch deployment": (
        "endpoint_name", "code_configuration", "instance_type", "instance_count", "scale_settings",
    ),
}  # fmt: skip
JOB: JsonDict = {
    name: f"is a field of {kind}, not of a command job. Delete it." for kind, names in _JOBS.items() for name in names
}
JOB |= {
    "instance_count": "stands inside resources: resources: {instance_count: …}.",
    "instance_type": "stands inside resources: resources: {instance_type: …}.",
    "conda_file": "stands inside environment: environment: {image: …, conda_file: …}.",
    "image": "stands inside environment: environment: {image: …}.",
    "timeout": "stands inside limits: limits: {timeout: …}, in seconds.",
    "shm_size": "stands inside resources: resources: {shm_size: …}.",
    "docker_args": "stands inside resources: resources: {docker_args: …}.",
    "process_count_per_instance": "stands inside distribution: distribution: {type: …, process_count_per_instance: …}.",
}
LIMITS: JsonDict = {
    **dict.fromkeys(
        ("max_total_trials", "max_concurrent_trials", "trial_timeout"),
        "is a limit of a sweep job, not of a command job. Delete it.",
    ),
    **dict.fromkeys(
        ("timeout_minutes", "max_trials", "max_nodes", "exit_score", "trial_timeout_minutes", "max_cores_per_trial"),
        "is a limit of an automl job, not of a command job. Here it is timeout, in seconds.",
    ),
}
RESOURCES: JsonDict = {
    "instance_types": "is a field of a finetuning job's resources. Here it is instance_type.",
    "runtime_version": "is a field of a spark job's resources. Delete it.",
}
INPUT: JsonDict = {
    "data": "is a word of CLI v2's preview. Here it is path.",
    **dict.fromkeys(
        ("default", "optional", "min", "max", "enum"),
        "is a field of a component's input, which waits for its value. Give a job's input its value.",
    ),
}
OUTPUT: JsonDict = {
    **dict.fromkeys(
        ("early_available", "is_control", "path_on_compute"),
        "is a field of a component's or a pipeline's output. Delete it.",
    )
}
ENVIRONMENT: JsonDict = {
    **dict.fromkeys(
        ("channels", "dependencies"),
        "belongs to the conda file, not to the environment: conda_file: {dependencies: …}.",
    ),
    "docker": "is a word of CLI v2's preview. Here the image stands in environment itself: environment: {image: …}.",
    "auto_delete_setting": "is for registered assets, and nothing here deletes environments by itself. Delete it.",
}
RAY = (
    "ray is a distribution of Azure's v2 schema (experimental there) that no target here honours. "
    "Start ray by the job's own command, or choose mpi, pytorch or tensorflow."
)
