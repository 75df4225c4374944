"""The part of `docs/security.md` that is made of rules and exceptions: `python -m tests.security` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.security.changes import BODIES, CHANGES, HERE
from tests.security.exceptions import EXCEPTED, EXCEPTED_KINDS, EXCEPTIONS, LACKING, NOT_HERE, RULES
from tests.security.stacks import REGISTRY, STORE

if TYPE_CHECKING:
    from tests.security.rules import Rule

PAGE = Path(__file__).parents[2] / "docs/security.md"
BEGIN = "<!-- rules: written by python -m tests.security -->"
END = "<!-- end of rules -->"


def rules() -> str:
    """Write the table of rules, the exceptions, and what looks at nothing here."""
    rows = [
        (rule.id, rule.source.removesuffix(" 3.3.30"), rule.effect, subject(rule.type), rule.asks) for rule in RULES
    ]
    return "\n".join(
        [
            *table(
                ("rule", "of", "effect", "looks at", "asks for", "here"),
                [(*row, here(rule)) for row, rule in zip(rows, RULES, strict=True)],
            ),
            "",
            "### Exceptions",
            "",
            *table(("rule", "resource", "why"), [(f"`{key}`", where(key), why) for key, why in EXCEPTIONS.items()]),
            "",
            "### Policies of the category that look at nothing here",
            "",
            *table(("policy", "why"), [(f"`{key}`", why) for key, why in NOT_HERE.items()]),
        ]
    )


def subject(kind: str) -> str:
    """Shorten an ARM type to its last word."""
    return kind.rpartition("/")[2]


def here(rule: Rule) -> str:
    """Say whether a rule holds on prod.yaml, and whether a stack file can break it."""
    lacking = " with the kind that prod.yaml lacks" if rule.id in LACKING else ""
    if rule.id in EXCEPTED or rule.id in EXCEPTED_KINDS:
        other = " with a machine" if rule.id in EXCEPTED_KINDS else ""
        return f"**exception**{other}"
    fixed = all(name in BODIES for name, change in CHANGES.items() if rule.id in change.fails)
    return f"holds{lacking}{'; no stack file can break it' if fixed else ''}"


def where(rule: str) -> str:
    """Name the resource that an exception is about."""
    found = EXCEPTED.get(rule) or EXCEPTED_KINDS[rule]
    words = {STORE: "the storage account", REGISTRY: "the registry", HERE: "the workspace"}
    return ", ".join(words.get(name, "a machine") for name in found)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Write a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def page(text: str) -> str:
    """Put the rules between their marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{rules()}\n{END}{after}"
