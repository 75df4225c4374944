"""Bad stack files: the exact message, its line, column and rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from specs.checks import load_stack
from specs.loader import parse, validate
from specs.problems import Problem, SpecError
from specs.stack import StackSpec

ROOT = Path(__file__).parents[2]
GOOD = """\
cloud: emulator
location: westeurope
resource_group: rg
network:
  address_space: [10.0.0.0/16]
  subnets:
    small: {address_prefix: 10.0.0.0/29}
workspaces:
  research:
    computes:
      cpu:
        kind: AmlCompute
        vm_size: Standard_D2_v2
        max_node_count: 2
"""


def problems(text: str) -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        validate(parse(text, "s.yaml"), StackSpec)
    return caught.value.problems


def one(text: str) -> tuple[int, int, str, str | None, str, str]:
    (problem,) = problems(text)
    return problem.line, problem.column, problem.field, problem.given, problem.message, problem.rule


CPU = "workspaces.research.computes.cpu"


def test_the_shipped_stacks_are_good() -> None:
    assert load_stack(ROOT / "stacks/local.yaml").default_target == "cpu-cluster"
    assert load_stack(ROOT / "stacks/prod.yaml").cloud == "azure"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("min_nodes: 0", "no such field. Here it is called min_node_count (the v1 SDK says min_nodes)."),
        ("max_instances: 3", "no such field. Here it is called max_node_count (CLI v2 says max_instances)."),
        ("size: x", "no such field. Here it is called vm_size (CLI v2 says size)."),
        ("tier: low_priority", "no such field. Here it is called vm_priority (CLI v2 says tier)."),
        (
            "idle_seconds_before_scaledown: 1",
            (
                "no such field. Here it is called node_idle_time_before_scale_down "
                "(the v1 SDK says idle_seconds_before_scaledown)."
            ),
        ),
        ("subnett: small", "no such field. Did you mean subnet?"),
    ],
)
def test_a_field_of_another_tool_or_misspelt_is_answered_with_ours(extra: str, message: str) -> None:
    name = extra.partition(":")[0]
    assert one(GOOD + f"        {extra}\n") == (15, 9, f"{CPU}.{name}", None, message, "unknown-field")


def test_a_field_that_is_like_nothing_lists_what_is_allowed() -> None:
    _, _, field, _, message, _ = one(GOOD + "        zzz: 1\n")
    assert field == f"{CPU}.zzz"
    assert message.startswith(
        "no such field. Allowed: description, disable_local_auth, enable_node_public_ip, identity,"
    )


def test_min_above_max_is_refused_at_min() -> None:
    assert one(GOOD + "        min_node_count: 3\n") == (
        15, 25, f"{CPU}.min_node_count", "3",
        "must not be above max_node_count (2). Allowed: 0 to 2.", "node-range",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["9cpu", "cpu-", "cpu-1", "c", "c" * 33, "cpu_x"])
def test_a_cluster_name_that_azure_refuses_is_refused(name: str) -> None:
    line, column, field, given, _, rule = one(GOOD.replace("      cpu:", f"      {name}:"))
    assert (line, column, field, given, rule) == (
        11, 7, f"workspaces.research.computes.{name}", f'"{name}"', "compute-name",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["cpu", "cpu-cluster", "a1", "gpu4-a"])
def test_a_cluster_name_that_azure_takes_is_taken(name: str) -> None:
    if len(name) < 3:
        name += "x"
    assert validate(parse(GOOD.replace("      cpu:", f"      {name}:"), "s"), StackSpec).workspaces


def test_a_subnet_without_room_for_all_nodes_is_refused() -> None:
    text = GOOD.replace("max_node_count: 2", "max_node_count: 4") + "        subnet: small\n"
    assert one(text) == (
        15, 17, f"{CPU}.subnet", '"small"',
        "10.0.0.0/29 has room for 3 machines; this needs 4. Widen it, or use another.", "subnet-room",
    )  # fmt: skip


def test_several_problems_are_told_at_once_in_file_order() -> None:
    text = GOOD.replace("westeurope", "West Europe").replace("max_node_count: 2", "max_node_count: none")
    assert [(item.line, item.field, item.rule) for item in problems(text)] == [
        (2, "location", "location"),
        (14, f"{CPU}.max_node_count", "type"),
    ]


def test_an_unknown_default_target_lists_the_targets() -> None:
    assert one(GOOD + "default_target: gpu\n") == (
        15, 17, "default_target", '"gpu"', "no such target. Allowed: local, cpu.", "unknown-target",
    )  # fmt: skip


def test_an_unknown_identity_lists_the_identities() -> None:
    text = GOOD + "        identity: {type: UserAssigned, user_assigned_identities: [who]}\n"
    assert one(text)[2:] == (
        f"{CPU}.identity.user_assigned_identities.0", '"who"',
        "no such identity. Allowed: none is declared under identities; NAME@STACK of another stack; an ARM id.",
        "unknown-identity",
    )  # fmt: skip


def test_a_missing_field_is_told_at_its_parent() -> None:
    text = GOOD.replace("        vm_size: Standard_D2_v2\n", "")
    assert one(text) == (
        11,
        7,
        CPU,
        None,
        "the field vm_size is missing: size of every node, e.g. Standard_D2_v2.",
        "missing",
    )


def test_a_password_in_the_place_of_a_config_key_is_not_repeated() -> None:
    account = """\
        disable_local_auth: false
        user_account_credentials: {admin_user_name: a, admin_user_password: 'hunter 2!'}
"""
    (problem,) = problems(GOOD + account)
    assert problem.field == f"{CPU}.user_account_credentials.admin_user_password"
    assert "hunter" not in str(problem)


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for previous, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{previous}'] * 9)}]")
    (problem,) = problems("\n".join(lines))
    assert problem.rule == "yaml-alias"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: 1\na: 2\n", "yaml-duplicate"),
        ("a: !!python/object/apply:os.system [ls]\n", "yaml-tag"),
        ("a: [1\n", "yaml"),
        ("\tb: 1\n", "yaml"),
        ("[" * 2000 + "]" * 2000, "yaml-depth"),
        ("? [a, b]\n: 1\n", "yaml-key"),
        ("- 1\n", "mapping"),
        ("", "mapping"),
        ("a: " + "x" * 1_000_001, "yaml-size"),
        ("a: &x\n  b: *x\n", "yaml-alias"),
    ],
)
def test_yaml_that_is_not_a_plain_mapping_is_refused(text: str, rule: str) -> None:
    assert [problem.rule for problem in problems(text)] == [rule]


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_stack(tmp_path / "x.yaml", "x.yaml")
    assert str(caught.value) == "x.yaml:1:1: the file\n  can't be read: No such file or directory.   [rule file]"


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "a: no\nb: 22:30\nc: 010\nd: 2020-01-01\ne: 1e3\nf: true\ng: ~\nh: 0x10\ni: .5\nj: 1_000\n"
    assert parse(text, "s").value == {
        "a": "no", "b": "22:30", "c": 10, "d": "2020-01-01", "e": 1000.0, "f": True, "g": None, "h": 16, "i": 0.5,
        "j": "1_000",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "rule"),
    [("0", "duration-range"), ("-5", "duration-range"), ("1e99", "duration"), ("99999999999999999", "duration-range")],
)
def test_an_idle_time_that_can_not_be_is_refused(given: str, rule: str) -> None:
    assert one(GOOD + f"        node_idle_time_before_scale_down: {given}\n")[-1] == rule
