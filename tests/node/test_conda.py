"""A conda file in pip's words, and what pip can't give said aloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.conda import Plan, shown, substitute, translate

if TYPE_CHECKING:
    from node.layout import Json


@pytest.mark.parametrize(
    ("spec", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.21.2", "numpy==1.21.2"),
        ("numpy=1.21", "numpy==1.21.*"),
        ("numpy==1.21", "numpy==1.21"),
        ("numpy=1.21.*", "numpy==1.21.*"),
        ("numpy 1.21.*", "numpy==1.21.*"),
        ("numpy>=1.2,<2", "numpy>=1.2,<2"),
        ("numpy=1.21.2=py38_0", "numpy==1.21.2"),
        ("numpy 1.21.2 py38_0", "numpy==1.21.2"),
        ("numpy=*", "numpy"),
        ("conda-forge::numpy", "numpy"),
        ("Numpy", "numpy"),
        ("pytorch=1.13", "torch==1.13.*"),
    ],
)
def test_a_conda_package_becomes_a_requirement(spec: str, requirement: str) -> None:
    assert translate({"dependencies": [spec]}).pip == [requirement]


def test_a_whole_file() -> None:
    document: dict[str, Json] = {
        "name": "train",
        "channels": ["conda-forge"],
        "dependencies": [
            "python=3.8.5",
            "pip=21.3",
            "scikit-learn>=1.1",
            "cudatoolkit=11.3",
            "openmpi",
            "a=1|2",
            {
                "pip": [
                    "azureml-defaults>=1.44",
                    "x[y]=1.2",
                    "-r more.txt",
                    "--extra-index-url https://example.org/simple",
                ]
            },
        ],
    }
    assert translate(document) == Plan(
        python="3.8.5",
        pip=[
            "scikit-learn>=1.1",
            "azureml-defaults>=1.44",
            "x[y]==1.2.*",
            "--extra-index-url https://example.org/simple",
        ],
        notes=[
            "cudatoolkit=11.3: left out; the wheels of pip bring their CUDA libraries",
            "x[y]=1.2: conda's way to say x[y]==1.2.*",
        ],
        refused=[
            "openmpi: not a Python package for pip",
            "a=1|2: a version constraint that pip doesn't know",
            "-r more.txt: names a file, and only the text of a conda file is taken, here as by Azure ML",
        ],
    )


def test_an_open_python_version_is_the_machines() -> None:
    plan = translate({"dependencies": ["python>=3.8"]})
    assert (plan.python, plan.notes) == (None, ["python>=3.8: the machine's own Python is taken"])
    assert plan.pythons == ("3.15", "3.14", "3.13", "3.12", "3.11", "3.10", "3.9", "3.8")


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ("python>=3.8,<3.10", ("3.9", "3.8")),
        ("python >3.13", ("3.15", "3.14")),
        ("python<=3.8.20", ("3.8", "3.7")),
        ("python<3.9,!=3.7", ("3.8",)),
        ("python>=3.9|<3", ()),
        ("python", ()),
        ("python=3.9", ()),
    ],
)
def test_a_range_of_pythons_is_the_versions_in_it(spec: str, fits: tuple[str, ...]) -> None:
    assert translate({"dependencies": [spec]}).pythons == fits


PRIVATE = "https://conda.example.org/t/to-ken/team"


def test_a_private_channel_is_refused_where_packages_come_from_it() -> None:
    document: dict[str, Json] = {"channels": ["conda-forge", PRIVATE], "dependencies": ["python=3.11", "own-package"]}
    assert translate(document).refused == [
        "https://conda.example.org/t/***/team: a private channel, which only conda can ask for packages"
    ]
    assert translate({**document, "dependencies": ["python=3.11", {"pip": ["six"]}]}).refused == []
    public: list[Json] = ["https://conda.anaconda.org/conda-forge", "https://repo.anaconda.com/pkgs/main", "nvidia"]
    assert translate({**document, "channels": public}).refused == []


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("--extra-index-url https://me:se-cret@example.org/simple", "--extra-index-url https://***@example.org/simple"),
        ("git+https://to-ken@example.org/a/b.git@v1", "git+https://***@example.org/a/b.git@v1"),
        ("https://anaconda.example/t/to-ken/main", "https://anaconda.example/t/***/main"),
        ("six==1.16 ; python_version < '3.9'", "six==1.16 ; python_version < '3.9'"),
    ],
)
def test_credentials_in_addresses_are_not_shown(text: str, without: str) -> None:
    assert shown(text) == without


def test_a_document_that_is_no_conda_file_is_refused() -> None:
    with pytest.raises(ValueError, match="a conda file needs a list `dependencies`"):
        translate({"dependencies": "numpy"})


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "scikit-learn==1.0.*"),
        ("mcr.microsoft.com/azureml/curated/sklearn-1.5:12", "scikit-learn==1.5.*"),
        ("mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest", "mlflow-skinny"),
        ("AzureML-Minimal", "mlflow-skinny"),
    ],
)
def test_known_images_have_a_stand_in(name: str, first: str) -> None:
    found = substitute(name)
    assert found is not None
    assert found.pip[0] == first


def test_an_unknown_image_has_none() -> None:
    assert substitute("registry.example.org/team/train:7") is None
