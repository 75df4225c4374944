"""Placeholders become references, so that the shell never reads a value again."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.command import render

NASTY = [
    "a b",
    "it's",
    '"q"',
    "x\ny",
    "; exit 3",
    "$(exit 3)",
    "`id`",
    "é漢",
    "-rf",
    "\\",
    "*",
    "$HOME",
    "",
    "a}b",
    "!x",
]
PLACES = {
    "bare": "printf '%s\\0' ${{inputs.x}}",
    "double": "printf '%s\\0' \"${{inputs.x}}\"",
    "single": "printf '%s\\0' '${{ inputs.x }}'",
    "ansi": "printf '%s\\0' $'${{inputs.x}}'",
    "after a comment": "# don't\nprintf '%s\\0' ${{inputs.x}}",
    "default": "printf '%s\\0' ${NOPE:-${{inputs.x}}}",
    "quoted default": "printf '%s\\0' \"${NOPE:-${{inputs.x}}}\"",
    "escaped": "printf '%s\\0' \\${{inputs.x}}",
    "function": "f() { printf '%s\\0' ${{inputs.x}}; }; (f)",
    "case": "case a in a) printf '%s\\0' '${{inputs.x}}';; esac",
    "continued line": "printf '%s\\0' \\\n  ${{inputs.x}}",
}
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def shell(command: str, variables: dict[str, str]) -> bytes:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **variables}
    return subprocess.run(
        ["bash"], input=command.encode(), env=environment, capture_output=True, check=True, timeout=60
    ).stdout


@settings(max_examples=5, deadline=None)
@given(st.lists(VALUES, min_size=10, max_size=20))
@example(NASTY)
def test_any_value_reaches_the_program_unchanged_from_any_place(values: list[str]) -> None:
    # One script for many values: each printed from every place, ended by NUL, which no value can hold.
    names = {f"x{number}": value for number, value in enumerate(values)}
    text = "\n".join(place.replace("inputs.x", f"inputs.{name}") for name in names for place in PLACES.values())
    command, variables = render(text, {**names}, {})
    assert shell(command, variables).decode() == "".join((value + "\0") * len(PLACES) for value in values)


@pytest.mark.parametrize("value", NASTY)
def test_here_documents_and_substitutions_take_values_unchanged(value: str) -> None:
    command, variables = render(
        'cat <<EOF\n\'${{inputs.x}}"\nEOF\nprintf %s "$(printf %s ${{inputs.x}}.)"', {"x": value}, {}
    )
    assert shell(command, variables).decode() == f"'{value}\"\n{value}."


def test_the_text_of_a_command_never_holds_a_value() -> None:
    command, variables = render("train --x ${{inputs.x}} > ${{outputs.my-out}}/log", {"x": "s3cret"}, {"my-out": "/o"})
    assert command == 'train --x "${AZURE_ML_INPUT_x}" > "${AZURE_ML_OUTPUT_my_out}"/log'
    assert variables == {"AZURE_ML_INPUT_x": "s3cret", "AZURE_ML_OUTPUT_my_out": "/o"}


def test_optional_groups_go_with_their_absent_input() -> None:
    text = "run $[[--a ${{inputs.a}}]] $[[--b ${{inputs.b}}]] $[[--c ${{inputs.c}}]]"
    assert render(text, {"a": "1", "b": None}, {}) == (
        'run --a "${AZURE_ML_INPUT_a}"  ',
        {"AZURE_ML_INPUT_a": "1"},
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "run ${{inputs.y}}",
            "the command names ${{inputs.y}}, which the job does not give; it gives: inputs.x, outputs.o",
        ),
        (
            "run ${{search_space.lr}}",
            "the command names ${{search_space.lr}}, which the job does not give; it gives: inputs.x, outputs.o",
        ),
        (
            "run ${{inputs.absent}}",
            "the command names ${{inputs.absent}}, which the job does not give; it gives: inputs.x, outputs.o",
        ),
        (
            "echo $((${{inputs.x}} + 1))",
            "${{inputs.x}} stands in shell arithmetic, so its value must be a whole number",
        ),
        (
            "cat <<'EOF'\n${{inputs.x}}\nEOF",
            (
                "${{inputs.x}} stands in a here-document with a quoted delimiter, where the shell replaces nothing: "
                "take the quotes off the delimiter"
            ),
        ),
    ],
)
def test_what_cannot_be_rendered_is_refused(command: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole message is compared)
        render(command, {"x": "a[$(id)]", "absent": None}, {"o": "/o"})
    assert str(caught.value) == message


def test_whole_numbers_may_stand_in_arithmetic() -> None:
    command, variables = render("echo $((${{inputs.n}} * 2))", {"n": "-21"}, {})
    assert shell(command, variables) == b"-42\n"


def test_inputs_whose_variables_would_collide_stay_apart() -> None:
    command, variables = render("printf '%s ' ${{inputs.a-b}} ${{inputs.a.b}}", {"a-b": "1", "a.b": "2"}, {})
    assert shell(command, variables) == b"1 2 "
