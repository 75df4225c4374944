from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.failures import failure
from engine.plan import Change, Json, Plan, Property, blinded, look_up, mapping, plan_of

SAMPLES = Path(__file__).parent / "samples"
"""Event logs that engine 3.255.0 wrote for a small program, without the debug diagnostics."""
BOX = "urn:pulumi:local::trainyard::trainyard:index:Box::box"
STASH = "urn:pulumi:local::trainyard::trainyard:index:Box$pulumi:index:Stash::box-stash"


def sample(name: str) -> list[dict[str, Json]]:
    lines = (SAMPLES / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [dict(mapping(json.loads(line))) for line in lines]


def box(op: str) -> Change:
    return Change(BOX, "box", "trainyard:index:Box", op, component=True)  # type: ignore[arg-type]


def stash(op: str, *properties: Property) -> Change:
    return Change(STASH, "box-stash", "pulumi:index:Stash", op, properties)  # type: ignore[arg-type]


def test_a_first_up_creates_and_counts_only_what_is_in_the_cloud() -> None:
    plan = plan_of(sample("create"), 1.5)
    assert plan == Plan((box("create"), stash("create")), (), 1.5)
    assert (plan.counts, plan.empty) == ({"create": 1}, False)


def test_an_update_names_the_leaf_that_differs() -> None:
    plan = plan_of(sample("update"))
    assert plan.changes == (box("same"), stash("update", Property("input.max", 4, 8, replaces=False)))
    assert plan.differences == plan.changes[1:]


def test_the_steps_of_a_replacement_are_one_change() -> None:
    plan = plan_of(sample("replace"))
    assert plan.changes == (box("same"), stash("replace", Property("input.max", 8, 9, replaces=True)))
    assert plan.counts == {"replace": 1}


def test_a_refresh_that_finds_nothing_is_empty() -> None:
    plan = plan_of(sample("refresh-same"))
    assert (plan.empty, plan.counts) == (True, {"same": 1})


def test_a_destroy_deletes_children_first() -> None:
    assert plan_of(sample("destroy")).changes == (stash("delete"), box("delete"))


def step(op: str, old: Json, new: Json, **more: Json) -> dict[str, Json]:
    metadata: dict[str, Json] = {"op": op, "urn": STASH, "type": "pulumi:index:Stash", "old": old, "new": new, **more}
    return {"resOutputsEvent": {"metadata": metadata}}


SEALED: Json = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}


def test_a_changed_secret_is_named_and_blinded() -> None:
    state: Json = {"custom": True, "inputs": {"key": SEALED}}
    plan = plan_of([step("update", state, state, diffs=["key"])])
    assert plan.changes == (stash("update", Property("key", "[secret]", "[secret]", replaces=False)),)


def test_a_detailed_difference_is_the_providers() -> None:
    old: Json = {
        "custom": True,
        "inputs": {"properties": {"vmSize": "A", "scale": {"max": 1}}},
        "outputs": {"x": [{"y": 1}]},
    }
    new: Json = {"custom": True, "inputs": {"properties": {"vmSize": "B", "scale": {"max": 2}}, "x": [{"y": 2}]}}
    detailed: Json = {
        "properties.vmSize": {"diffKind": "update-replace", "inputDiff": True},
        "properties.scale.max": {"diffKind": "update", "inputDiff": True},
        "x[0].y": {"diffKind": "update", "inputDiff": False},
    }
    plan = plan_of([step("create-replacement", old, new, detailedDiff=detailed)])
    assert plan.changes == (
        stash(
            "replace",
            Property("properties.scale.max", 1, 2, replaces=False),
            Property("properties.vmSize", "A", "B", replaces=True),
            Property("x[0].y", 1, 2, replaces=False),
        ),
    )


def test_a_refresh_that_finds_drift_is_an_update() -> None:
    old: Json = {"custom": True, "inputs": {"max": 4}}
    new: Json = {"custom": True, "inputs": {"max": 9}}
    plan = plan_of([step("refresh", old, new), step("update", old, new)])
    assert plan.changes == (stash("update", Property("max", 4, 9, replaces=False)),)


def test_a_property_under_a_secret_is_the_secret() -> None:
    assert look_up({"a": {"b": SEALED}}, 'a.b["c.d"].e') == "[secret]"


@pytest.mark.parametrize(
    ("path", "expected"), [("a[1].b", 2), ('["x.y"]', 3), ("a[7]", None), ("a.b", None), ("nowhere.b", None)]
)
def test_property_paths_are_followed(path: str, expected: Json) -> None:
    assert look_up({"a": [0, {"b": 2}], "x.y": 3}, path) == expected


def test_what_is_not_known_yet_says_so() -> None:
    assert blinded(["04da6b54-80e4-46f7-96ec-b56ff0331ba9", {"a": 1}]) == ["[known after up]", {"a": 1}]


def test_warnings_are_kept_once() -> None:
    warning: dict[str, Json] = {"diagnosticEvent": {"severity": "warning", "message": "old\n", "urn": STASH}}
    assert plan_of([warning, warning]).warnings == ("box-stash: old",)


def test_a_program_that_raised_shows_its_exception_and_no_traceback() -> None:
    found = failure("local", sample("traceback"), "", "preview")
    assert str(found) == "ValueError: stacks/dev.yaml:3:4: no such field\n  second line"


def test_a_program_that_printed_its_reason_and_left_is_quoted() -> None:
    assert str(failure("local", sample("exit"), "", "preview")) == "one message"


def test_a_failed_resource_is_named_and_the_echo_left_out() -> None:
    events: list[dict[str, Json]] = [
        {"diagnosticEvent": {"severity": "error", "message": "409 Conflict\n", "urn": STASH}},
        {"diagnosticEvent": {"severity": "error", "message": "update failed"}},
    ]
    assert str(failure("local", events, "", "up")) == "box-stash: 409 Conflict"


@pytest.mark.parametrize(
    ("words", "message", "hint", "exit_code"),
    [
        (
            "error: the stack is currently locked\n  created by ann@tower (pid 516) at 2026-11-21T06:44:30Z",
            "stack local is locked by ann on tower, process 516, since 2026-11-21T06:44:30Z",
            "Wait for it to end. If that process is gone: invoke recover --stack local",
            12,
        ),
        (
            "error: the stack is currently locked by 1 lock(s).",
            "stack local is locked by another operation",
            "Wait for it, then type it again.",
            12,
        ),
        ("error: no stack named 'local' found", "stack local was never brought up", "invoke up --stack local", 3),
        (
            "error: getting stack configuration: get stack secrets manager: incorrect passphrase",
            "the passphrase is not the one that stack local was made with",
            "It comes from PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE if set, else from "
            ".trainyard/passphrase: put the right one back there. To start over without it: invoke emulator.stop, "
            "then delete pulumi, emulator and outputs in .trainyard/. What the stacks made in Azure stays there, to be "
            "deleted by hand.",
            13,
        ),
        (
            "error: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or ...",
            "the backend of stack local is your own, so its passphrase is too",
            "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it.",
            13,
        ),
        ("noise\nerror: first\n  more\nerror: second\n", "first\n  more\nsecond", "", 1),
        ("a\n\nb\n", "a\nb", "", 1),
        ("", "pulumi up failed and did not say why", "", 1),
    ],
)
def test_the_engines_refusals_are_one_message(words: str, message: str, hint: str, exit_code: int) -> None:
    found = failure("local", [], words, "up")
    assert (found.message, found.hint, found.exit_code) == (message, hint, exit_code)


def test_a_secret_without_a_value_is_asked_for_in_our_words_and_never_as_an_argument() -> None:
    words = (
        "Missing required configuration variable 'trainyard:cluster-password'\n"
        "\tplease set a value using the command `pulumi config set --secret trainyard:cluster-password <value>`"
    )
    found = failure("prod", [diagnosed(words)], "", "up")
    assert (found.message, found.hint) == (
        "stacks/prod.yaml names the secret cluster-password, which has no value yet",
        "invoke secret cluster-password --stack prod",
    )


@pytest.mark.parametrize(
    "words",
    [
        "Could not automatically download and install resource plugin 'pulumi-resource-azure-native' at version v3.29.0"
        ", install the plugin using `pulumi plugin install resource azure-native v3.29.0`: error downloading provider",
        "no resource plugin 'pulumi-resource-azure-native' found in the workspace at version v3.29.0 or on your $PATH",
    ],
)
def test_a_missing_plugin_says_who_needs_it_and_what_to_type(words: str) -> None:
    found = failure("prod", [diagnosed(words)], "", "up")
    assert (found.message, found.hint) == (
        "the vendor's plugin azure-native v3.29.0 is not on this machine and could not be downloaded",
        'Stacks with `cloud: azure` need it. Where its download is reachable: eval "$(invoke env prod)" && '
        "pulumi plugin install resource azure-native v3.29.0. Else get the archive elsewhere and add: --file ARCHIVE",
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (
            "cannot create already existing resource '/subscriptions/s/resourceGroups/g'",
            "It is not in this stack's state. If an `up` of this stack was killed: invoke recover --stack prod. Else "
            "another stack or somebody else owns it. To take over a workspace or "
            "compute: invoke adopt NAME --stack prod. Else choose another name in stacks/prod.yaml.",
        ),
        (
            'Status=0 Code="Unreachable" Message="the emulator at localhost:1 does not answer"',
            "The emulator does not answer: invoke recover --stack prod, then type it again.",
        ),
        (
            "azure-native (resource) plugin [azure-native] did not begin responding to RPC connections",
            "The emulator does not answer: invoke recover --stack prod, then type it again.",
        ),
        (
            "failed to load checkpoint: EOF",
            "A killed engine left a torn file: invoke recover --stack prod, then type it again.",
        ),
        (
            "error reading from server: EOF",
            "The provider died in the middle: invoke recover --stack prod, then type it again.",
        ),
        ('Status=409 Code="Conflict" Message="Another operation is in progress"', ""),
    ],
)
def test_a_failure_that_we_know_keeps_its_words_and_says_what_to_do(words: str, hint: str) -> None:
    found = failure("prod", [diagnosed(words)], "", "up")
    assert (found.message, found.hint) == (words, hint)


def diagnosed(words: str) -> dict[str, Json]:
    return {"diagnosticEvent": {"severity": "error", "message": words}}


def cluster(name: str, op: str, *properties: Property) -> Change:
    kind = "azure-native:machinelearningservices:Compute"
    urn = f"urn:pulumi:local::trainyard::trainyard:index:Stack$trainyard:index:AmlCompute${kind}::{name}"
    return Change(urn, name, kind, op, properties)  # type: ignore[arg-type]


def test_a_clusters_scale_is_updated_and_its_size_replaced() -> None:
    scale = "properties.properties.scaleSettings"
    assert plan_of(sample("cluster-preview")).changes == (
        cluster(
            "cpu-cluster",
            "update",
            Property(f"{scale}.maxNodeCount", 8, 6, replaces=False),
            Property(f"{scale}.nodeIdleTimeBeforeScaleDown", "PT300S", "PT120S", replaces=False),
        ),
        cluster(
            "spot-cluster",
            "replace",
            Property("properties.properties.vmSize", "Standard_D3_v2", "Standard_D2_v2", replaces=True),
        ),
    )


def test_a_cluster_that_somebody_scaled_is_drift() -> None:
    assert plan_of(sample("cluster-drift")).differences == (
        cluster(
            "cpu-cluster",
            "update",
            Property("properties.properties.scaleSettings.maxNodeCount", 8, 6, replaces=False),
        ),
    )
