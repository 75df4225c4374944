"""What v1's constructors become: the one job, to the letter."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.command import render
from runtime import v1_jobs
from runtime.errors import SpecError
from runtime.v1 import (
    DEFAULT_CPU_IMAGE,
    CondaDependencies,
    Datastore,
    DockerConfiguration,
    Environment,
    Estimator,
    MpiConfiguration,
    PyTorch,
    PyTorchConfiguration,
    RunConfiguration,
    ScriptRunConfig,
    TensorFlow,
    TensorflowConfiguration,
    V1Note,
)
from tests.v1 import kit

if TYPE_CHECKING:
    from runtime.project import Project
    from runtime.records import Kind
    from specs.job import CommandJob

PYTHON = f"python={sys.version_info.major}.{sys.version_info.minor}"
PAYLOADS = [
    "plain", "", " ", "two words", "'", '"', "it's", '"quoted"', "`id`", "$(id)", "$HOME", "${HOME}", "$((1+1))", "a;b",
    "a && b", "a | b", "> out", "*", "?", "[a]", "{a,b}", "~", "#c", "!x", "\\", "\\n", "a\nb", "\n", "\t", "-x", "--y",
    "--", "é", "日本語", "\u202e", "🚂", "%s", "a=b", "${{inputs.x}}", "$[[x]]", "$[[${{inputs.x}}]]", "'$((`\"",
    "a'b'c", "\r", "\x1b[0m", "C:\\temp", "${{ inputs.x }}", "''", "$''", "\\'",
]  # fmt: skip
"""Values that a shell, or Azure's own substitution, would read."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return kit.a_folder(tmp_path)


def job(config: ScriptRunConfig | Estimator, kind: Kind = "AmlCompute") -> CommandJob:
    return v1_jobs.job(config.script_run_config(), "exp", kind)


def shown(config: ScriptRunConfig | Estimator, kind: Kind = "AmlCompute") -> dict[str, Any]:
    return job(config, kind).model_dump(mode="json", exclude_defaults=True)


def distribution(config: ScriptRunConfig | Estimator) -> dict[str, Any]:
    found = job(config).distribution
    assert found is not None
    return found.model_dump()


def test_a_script_becomes_the_smallest_job(folder: Path) -> None:
    assert shown(ScriptRunConfig(str(folder), "train.py", ["--rate", 0.5])) == {
        "experiment_name": "exp",
        "code": str(folder),
        "command": "python train.py --rate 0.5",
        "environment": {
            "image": DEFAULT_CPU_IMAGE,
            "conda_file": {"channels": ["conda-forge"], "dependencies": [PYTHON]},
        },
    }


def test_the_environment_of_ones_own_machine_names_no_image_unless_docker_is_on(folder: Path) -> None:
    config = ScriptRunConfig(str(folder), "train.py")
    config.run_config.environment.python.conda_dependencies = CondaDependencies.create(
        conda_packages=["scikit-learn"], pip_packages=["rich"], python_version="3.10"
    )
    conda = {"channels": ["conda-forge"], "dependencies": ["python=3.10", "scikit-learn", "pip", {"pip": ["rich"]}]}
    assert shown(config, "Local")["environment"] == {"conda_file": conda}
    config.run_config.environment.docker.enabled = True
    config.run_config.environment.docker.base_image = "team/image:1"
    assert shown(config, "VirtualMachine")["environment"] == {"image": "team/image:1", "conda_file": conda}


def test_a_user_managed_environment_is_a_property_of_the_job(folder: Path) -> None:
    config = ScriptRunConfig(str(folder), "train.py", environment=Environment("mine"))
    python = config.run_config.environment.python
    python.user_managed_dependencies = True
    here = job(config, "Local")
    assert here.properties == {"trainyard.interpreter": sys.executable}
    assert here.command == f"{sys.executable} train.py"
    python.interpreter_path = "/opt/my env/bin/python"
    there = job(config, "VirtualMachine")
    assert (there.properties, there.command) == (
        {"trainyard.interpreter": "/opt/my env/bin/python"},
        "'/opt/my env/bin/python' train.py",
    )
    assert shown(config)["environment"] == {"name": "mine", "image": DEFAULT_CPU_IMAGE}
    assert job(config).properties == {}
    python.user_managed_dependencies = False
    with pytest.raises(SpecError, match=r"interpreter_path = \"/opt/my env/bin/python\"\n  is for user_managed"):
        job(config)


def test_short_words_are_put_in_their_place_also_later(folder: Path) -> None:
    mine = Environment("mine")
    config = ScriptRunConfig(str(folder), "train.py", compute_target="a", max_run_duration_seconds=60)
    config.environment = mine
    config.compute_target = "b"
    config.docker_runtime_config = DockerConfiguration(shm_size="2g", arguments=["--cap-add", "A B"])
    assert (config.run_config.target, config.run_config.environment) == ("b", mine)
    made = job(config)
    assert made.limits.timeout is not None
    assert made.limits.timeout.total_seconds() == 60
    assert (made.resources.shm_size, made.resources.docker_args) == ("2g", "--cap-add 'A B'")


@pytest.mark.parametrize(
    ("how", "nodes", "expected"),
    [
        (MpiConfiguration(2, 3), 3, {"type": "mpi", "process_count_per_instance": 2}),
        (PyTorchConfiguration(process_count=4, node_count=2), 2, {"type": "pytorch", "process_count_per_instance": 2}),
        (PyTorchConfiguration(node_count=2), 2, {"type": "pytorch", "process_count_per_instance": 1}),
        (
            TensorflowConfiguration(worker_count=2, parameter_server_count=1),
            2,
            {"type": "tensorflow", "worker_count": 2, "parameter_server_count": 1},
        ),
    ],
)
def test_processes_are_the_jobs_distribution(
    folder: Path, how: MpiConfiguration, nodes: int, expected: dict[str, Any]
) -> None:
    made = job(ScriptRunConfig(str(folder), "train.py", distributed_job_config=how))
    assert made.distribution is not None
    assert (made.distribution.model_dump(), made.resources.instance_count) == (expected, nodes)


def test_processes_that_do_not_divide_are_refused(folder: Path) -> None:
    config = ScriptRunConfig(str(folder), "train.py", distributed_job_config=PyTorchConfiguration("Gloo", 3, 2))
    with pytest.raises(SpecError, match=r"process_count = 3\n  must be a multiple of node_count \(2\)"):
        job(config)


def test_a_communicator_is_the_older_way_to_say_it(folder: Path) -> None:
    config = ScriptRunConfig(str(folder), "train.py")
    config.run_config.communicator, config.run_config.node_count = "OpenMpi", 2
    config.run_config.mpi.process_count_per_node = 2
    assert distribution(config) == {"type": "mpi", "process_count_per_instance": 2}
    assert job(config).resources.instance_count == 2
    config.run_config.communicator = "Morse"
    with pytest.raises(SpecError, match=r'communicator = "Morse"\n  Allowed: none, openmpi'):
        job(config)


def test_an_estimator_is_a_script_with_its_parameters_and_packages(folder: Path) -> None:
    made = shown(
        Estimator(
            source_directory=str(folder),
            entry_script="train.py",
            script_params={"--rate": 0.8, "--verbose": "", "--name": "a b"},
            conda_packages=["scikit-learn"],
            pip_packages=["rich==1"],
            environment_variables={"A": "1"},
            custom_docker_image="team/image:1",
            shm_size="2g",
        )
    )
    assert made["command"] == "python train.py --rate 0.8 --verbose --name 'a b'"
    assert made["environment"]["conda_file"]["dependencies"] == [PYTHON, "scikit-learn", "pip", {"pip": ["rich==1"]}]
    assert made["environment"]["image"] == "team/image:1"
    assert (made["environment_variables"], made["resources"]) == ({"A": "1"}, {"shm_size": "2g"})


def test_estimators_of_frameworks_bring_them(folder: Path) -> None:
    torch = PyTorch(
        str(folder), entry_script="train.py", framework_version="2.2", node_count=2, process_count_per_node=2,
        distributed_backend="nccl",
    )  # fmt: skip
    assert distribution(torch) == {"type": "pytorch", "process_count_per_instance": 2}
    assert torch.conda_dependencies.pip_packages == ["torch==2.2.*"]
    flow = TensorFlow(
        str(folder), entry_script="train.py", framework_version="2.15.1", worker_count=2, distributed_backend="ps"
    )
    assert distribution(flow) == {"type": "tensorflow", "worker_count": 2, "parameter_server_count": 1}
    assert flow.conda_dependencies.pip_packages == ["tensorflow==2.15.1"]
    with pytest.raises(SpecError, match=r'PyTorch: distributed_backend = "ps"\n  Allowed: mpi, nccl, gloo'):
        job(PyTorch(str(folder), entry_script="train.py", distributed_backend="ps"))


def test_an_estimator_that_contradicts_itself_is_refused(folder: Path) -> None:
    for more, expected in (
        ({"user_managed": True, "pip_packages": ["rich"]}, "user_managed\n  means that everything is installed"),
        ({"environment_definition": Environment(), "pip_packages": ["rich"]}, "is a whole environment"),
        ({"script_params": ["--a"]}, "script_params = .*\n  takes a mapping"),
        ({"pip_packages": "rich"}, 'pip_packages = "rich"\n  takes a list'),
        ({"resume_from": "run"}, "resume_from\n  give the earlier run's outputs as an input"),
    ):
        with pytest.raises(SpecError, match=expected):
            job(Estimator(str(folder), entry_script="train.py", **more))  # type: ignore[arg-type]


def test_an_estimator_takes_a_whole_environment_and_leaves_it_as_it_was(folder: Path) -> None:
    mine = Environment.from_docker_image("mine", "team/image:1")
    made = shown(
        Estimator(
            str(folder),
            entry_script="train.py",
            environment_definition=mine,
            environment_variables={"A": "1"},
            shm_size="2g",
        )
    )
    assert made["environment"] == {"name": "mine", "image": "team/image:1"}
    assert (made["environment_variables"], made["resources"]) == ({"A": "1"}, {"shm_size": "2g"})
    assert (mine.environment_variables, mine.docker.shm_size) == ({}, None)


def test_an_environment_is_made_of_a_conda_file(folder: Path) -> None:
    file = folder / "conda.yml"
    file.write_text("channels: [defaults]\ndependencies:\n- python=3.9\n- numpy\n- pip:\n  - rich\n")
    environment = Environment.from_conda_specification("mine", str(file))
    made = shown(ScriptRunConfig(str(folder), "train.py", environment=environment), "Local")
    conda = {"channels": ["defaults"], "dependencies": ["python=3.9", "numpy", "pip", {"pip": ["rich"]}]}
    assert made["environment"] == {"name": "mine", "conda_file": conda}
    file.write_text("[]")
    with pytest.raises(SpecError, match="not a conda file"):
        Environment.from_conda_specification("mine", str(file))


def test_the_most_nodes_of_a_runs_own_cluster_have_v1s_hidden_name_too() -> None:
    config = RunConfiguration()
    config.amlcompute._cluster_max_node_count = 3
    assert config.amlcompute.cluster_max_node_count == 3


def test_several_nodes_need_a_backend(folder: Path) -> None:
    with pytest.raises(
        SpecError, match=r"distributed_backend\n  is needed for several nodes or processes. Allowed: mpi"
    ):
        job(Estimator(str(folder), entry_script="train.py", node_count=2))


def test_earlier_words_are_taken_with_a_note(folder: Path) -> None:
    with pytest.warns(V1Note, match=r"custom_docker_base_image is called custom_docker_image"):
        made = Estimator(str(folder), entry_script="train.py", custom_docker_base_image="team/image:1")
    assert made.custom_docker_image == "team/image:1"
    with pytest.warns(V1Note, match=r"an environment that is missing is always prepared") as noted:
        RunConfiguration().auto_prepare_environment = False
    assert noted[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RunConfiguration().auto_prepare_environment = True


def test_a_reference_to_data_is_an_input_once(folder: Path, project: Project) -> None:
    store = Datastore(kit.a_workspace(project), "training data")
    mounted, copied = store.path("a/b/").as_mount(), store.path("a/b").as_download()
    made = job(ScriptRunConfig(str(folder), "train.py", ["--in", mounted, "--again", mounted, copied]))
    assert made.command == (
        "python train.py --in ${{inputs.training_data_a_b}} --again ${{inputs.training_data_a_b}} "
        "${{inputs.training_data_a_b_2}}"
    )
    assert {
        name: (item.path, item.mode) for name, item in made.inputs.items() if not isinstance(item, (str, int, float))
    } == {
        "training_data_a_b": ("azureml://datastores/training data/paths/a/b", "ro_mount"),
        "training_data_a_b_2": ("azureml://datastores/training data/paths/a/b", "download"),
    }
    with pytest.raises(SpecError, match=r"arguments\[0\] = .*\n  is neither text nor a number nor a reference"):
        job(ScriptRunConfig(str(folder), "train.py", [object()]))
    with pytest.raises(SpecError, match=r"as_upload\n  what a run writes there is a named output"):
        store.path("x").as_upload()


def test_a_command_as_text_is_a_shell_line_and_as_a_list_is_words(folder: Path) -> None:
    assert job(ScriptRunConfig(str(folder), command="python a.py && echo $X")).command == "python a.py && echo $X"
    assert job(ScriptRunConfig(str(folder), command=["echo", "a b", "$(x)"])).command == "echo 'a b' '$(x)'"
    for word in ("&&", "$NODE_RANK", "${RANK}"):
        with pytest.raises(SpecError, match=r"command\[1\] = .*\n  no shell reads the words of a list") as caught:
            job(ScriptRunConfig(str(folder), command=["echo", word, "x"]))
        assert caught.value.problems[0].given == f'"{word}"'
    with pytest.raises(SpecError, match=r"command\n  is a whole command"):
        ScriptRunConfig(str(folder), "train.py", command="x")


def test_what_is_not_there_is_said_with_its_name(folder: Path) -> None:
    for config, expected in (
        (ScriptRunConfig(str(folder / "no"), "train.py"), "source_directory = .*\n  no such folder"),
        (ScriptRunConfig(str(folder), "no.py"), 'script = "no.py"\n  no such file'),
        (ScriptRunConfig(str(folder), "train.py", "abc"), 'arguments = "abc"\n  takes a list'),
    ):
        with pytest.raises(SpecError, match=expected):
            job(config)
    config = ScriptRunConfig(str(folder), "train.py")
    config.run_config.framework = "PySpark"
    with pytest.raises(SpecError, match=r'framework = "PySpark"\n  Spark runs come later'):
        job(config)


def test_a_named_environment_is_used_as_it_is(folder: Path, project: Project) -> None:
    named = Environment.get(kit.a_workspace(project), "AzureML-Minimal")
    assert job(ScriptRunConfig(str(folder), "train.py", environment=named)).environment == (
        "azureml:AzureML-Minimal@latest"
    )
    named.python.conda_dependencies = CondaDependencies()
    with pytest.raises(SpecError, match=r"is used as it is. Write your own"):
        job(ScriptRunConfig(str(folder), "train.py", environment=named))


def argv(command: str, folder: Path) -> list[str]:
    """Start a job's command as a shell does, and return what its script was given."""
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, capture_output=True, check=True, env={"PATH": str(folder)}
    )
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.fixture
def echoing(folder: Path) -> Path:
    (folder / "train.py").write_text("import sys, json\nprint(json.dumps(sys.argv[1:]))\n")
    (folder / "python").symlink_to(shutil.which("python3", path=str(Path(sys.executable).parent)) or sys.executable)
    return folder


@pytest.mark.processes
@pytest.mark.parametrize("way", ["as Azure starts it", "as we start it"])
def test_arguments_reach_the_script_unchanged(echoing: Path, way: str) -> None:
    words = [payload for payload in PAYLOADS if payload not in ("$HOME", "${HOME}")]
    named = {f"--{number}": payload for number, payload in enumerate(PAYLOADS) if payload}
    for config, expected in (
        (ScriptRunConfig(str(echoing), "train.py", PAYLOADS), PAYLOADS),
        (ScriptRunConfig(str(echoing), command=["python", "train.py", *words]), words),
        (
            Estimator(str(echoing), entry_script="train.py", script_params=named),
            [item for pair in named.items() for item in pair],
        ),
    ):
        command = job(config).command
        if way == "as we start it":
            command, values = render(command, {}, {})
            assert values == {}
        assert argv(command, echoing) == expected


@pytest.mark.processes
def test_a_script_whose_name_a_shell_or_python_would_read_is_started(echoing: Path) -> None:
    for name in ("-c train.py", "$(id) é.py", "it's; here.py"):
        (echoing / name).write_text((echoing / "train.py").read_text())
        assert argv(job(ScriptRunConfig(str(echoing), name, ["x"])).command, echoing) == ["x"]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_no_quoted_text_holds_an_expression_of_azures(text: str) -> None:
    quoted = v1_jobs.quote(text)
    assert "${{" not in quoted
    assert "$[[" not in quoted
