"""The security rules of three packs hold on the shipped stack, but for the exceptions that are written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.changes import CHANGES
from tests.security.exceptions import EXCEPTED, EXCEPTED_KINDS, EXCEPTIONS, LACKING, NOT_HERE, RULES, policies
from tests.security.page import PAGE, page
from tests.security.rules import Template
from tests.security.stacks import document, every_kind, prod

if TYPE_CHECKING:
    from emulator.routing import Json

IDS = [rule.id for rule in RULES]


@pytest.fixture(scope="module")
def whole() -> dict[str, Json]:
    """Render the shipped stack with one of each kind that it lacks."""
    return document(every_kind())


def failures(template: Template) -> dict[str, list[str]]:
    found = {rule.id: sorted(rule.failures(template)) for rule in RULES}
    return {name: resources for name, resources in found.items() if resources}


def test_the_shipped_stack_breaks_the_excepted_rules_and_no_other() -> None:
    assert failures(Template.of(document(prod()))) == EXCEPTED


def test_on_the_shipped_stack_these_rules_look_at_nothing_and_every_other_at_something() -> None:
    template = Template.of(document(prod()))
    assert {rule.id for rule in RULES if not rule.looked_at(template)} == LACKING


def test_so_does_the_shipped_stack_with_every_other_kind(whole: dict[str, Json]) -> None:
    assert failures(Template.of(whole)) == {**EXCEPTED, **EXCEPTED_KINDS}


def test_every_rule_looks_at_something(whole: dict[str, Json]) -> None:
    counts = {rule.id: len(rule.looked_at(Template.of(whole))) for rule in RULES}
    several = {
        "ee40564d": 5,  # endpoints: the workspace's, and to its blobs, files, vault and registry
        "e96a9a5f": 2,  # the cluster and the instance
        "7804b5c7": 2,
        "a6f9a2d0": 3,  # and the machine
        "AZR-000404": 3,
        "AZR-000405": 3,
        "CKV_AZURE_10": 3,  # groups: of two subnets and of the machine
    }
    assert counts == {**dict.fromkeys(IDS, 1), **several}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_breaks_these_rules_and_no_other(name: str, whole: dict[str, Json]) -> None:
    change = CHANGES[name]
    expected = {key: list(value) for key, value in {**EXCEPTED, **EXCEPTED_KINDS}.items() if key not in change.holds}
    for rule, resources in change.fails.items():
        expected[rule] = sorted([*expected.get(rule, []), *resources])
    assert failures(change.template(whole)) == expected


def test_each_rule_is_broken_by_some_change_and_each_exception_is_not_for_good() -> None:
    broken = {rule for change in CHANGES.values() for rule in change.fails} | set(EXCEPTED) | set(EXCEPTED_KINDS)
    assert broken == set(IDS)
    assert {rule for change in CHANGES.values() for rule in change.holds} == {*EXCEPTED, *EXCEPTED_KINDS}


def test_each_exception_has_a_reason_and_nothing_else_has_one() -> None:
    assert set(EXCEPTIONS) == {*EXCEPTED, *EXCEPTED_KINDS}
    assert len(IDS) == len(set(IDS))


def test_all_26_policies_for_machine_learning_are_rules_or_look_at_nothing_here() -> None:
    assert len(policies()) == 26
    assert set(NOT_HERE) & set(IDS) == set()


def test_the_page_on_security_has_every_rule_and_every_exception_with_its_reason() -> None:
    written = PAGE.read_text("utf-8")
    assert written == page(written), "write it anew: python -m tests.security"
