"""Say what a conda file, a curated environment or an image amounts to as a Python version and a list for pip.

Pure. The translation is honest about itself: what was left out and why is in `notes`, what pip can't give is in
`refused`, and the caller decides whether that is good enough. Parsing YAML is the caller's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.layout import Json

_SPEC = re.compile(r"(?:(?P<channel>[^\s:]+)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.\-]*)\s*(?P<version>[^\[]*?)\s*\Z")
_CONSTRAINT = re.compile(r"(?P<operator>==|>=|<=|!=|~=|=|>|<)?\s*(?P<version>[A-Za-z0-9_.*+!\-]+)\Z")
_PIP_SINGLE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._\-]*(?:\[[^\]]*\])?)\s*=\s*([A-Za-z0-9][A-Za-z0-9_.*+!\-]*)\s*\Z")
_FILE_OPTION = re.compile(r"(-r|--requirement|-e|--editable|-c|--constraint)\b|\.{0,2}/|\.\s*\Z")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@|(?<=/t/)[^/\s]+(?=/)")
_MINORS = tuple(f"3.{minor}" for minor in range(15, 6, -1))
"""Python versions that a range is tried on, the newest first."""
_PUBLIC = re.compile(r"https?://(conda\.anaconda\.org|repo\.anaconda\.com|prefix\.dev|conda\.prefix\.dev)/(?!t/)")
NAMES_A_FILE = "names a file, and only the text of a conda file is taken, here as by Azure ML"
_PYTHON = re.compile(r"(?:==?)?\s*(\d+\.\d+(?:\.\d+)?)(?:\.\*|\*)?(?:=\S*)?\Z")
_EXACT_PARTS = 3


@dataclass(frozen=True)
class Plan:
    """An environment in pip's words."""

    python: str | None = None
    """`3.11` or `3.11.4`; None: the machine's own."""
    pip: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out or changed without harm."""
    refused: list[str] = field(default_factory=list)
    """What the file asks for and pip can't give."""
    pythons: tuple[str, ...] = ()
    """Where a range of Python is asked for: the versions in it, the newest first."""


def translate(document: Mapping[str, Json]) -> Plan:
    """Return the plan for a parsed conda file.

    Raises: ValueError when it isn't one.
    """
    entries = document.get("dependencies")
    if not isinstance(entries, list):
        raise ValueError("a conda file needs a list `dependencies`")  # noqa: TRY004  (a bad document, not a bad call)
    work = _Translation()
    for entry in entries:
        if isinstance(entry, str):
            work.conda(entry.strip())
        elif isinstance(entry, dict) and set(entry) == {"pip"} and isinstance(entry["pip"], list):
            for item in entry["pip"]:
                work.pip(item)
        else:
            work.refused.append(f"{entry!r}: neither a package nor a list for pip")
    work.channels(document.get("channels"))
    if document.get("variables"):
        work.notes.append("variables: put them into the job's environment_variables")
    return Plan(work.python, work.requirements, work.notes, work.refused, work.pythons)


def shown(text: str) -> str:
    """Return a requirement or a channel without the credentials in its address. Pure."""
    return _CREDENTIALS.sub(lambda found: "***@" if found.group().endswith("@") else "***", text)


class _Translation:
    def __init__(self) -> None:
        self.names: dict[str, str] = _TABLE.pip
        self.python: str | None = None
        self.pythons: tuple[str, ...] = ()
        self.packages = False
        """Some come from a channel of conda's."""
        self.requirements: list[str] = []
        self.notes: list[str] = []
        self.refused: list[str] = []

    def conda(self, spec: str) -> None:
        found = _SPEC.match(spec)
        if not found:
            self.refused.append(f"{spec}: not understood")
            return
        name, version = found["name"].lower(), found["version"]
        if name == "python":
            self.interpreter(spec, version)
        elif name in _TABLE.unneeded:
            if name != "pip":
                self.notes.append(f"{spec}: left out; {_TABLE.unneeded[name]}")
        elif name in _TABLE.native or name.startswith(("r-", "cuda-")):
            self.refused.append(f"{spec}: not a Python package for pip")
        else:
            self.package(spec, name, version)

    def interpreter(self, spec: str, version: str) -> None:
        found = _PYTHON.match(version)
        if found:
            self.python = found.group(1)
        elif version.strip():
            self.pythons = _within(version)
            self.notes.append(f"{spec}: the machine's own Python is taken")

    def package(self, spec: str, name: str, version: str) -> None:
        constraint = _constraint(version)
        if constraint is None:
            self.refused.append(f"{spec}: a version constraint that pip doesn't know")
            return
        requirement = self.names.get(name, name) + constraint
        self.packages = True
        if self.names.get(name, name) != name:
            self.notes.append(f"{spec}: {requirement} from pip")
        self.requirements.append(requirement)

    def pip(self, item: Json) -> None:
        if not isinstance(item, str):
            self.refused.append(f"{item!r}: not a requirement for pip")
            return
        text = item.strip()
        single = _PIP_SINGLE.match(text)
        if _FILE_OPTION.match(text):
            self.refused.append(f"{shown(text)}: {NAMES_A_FILE}")
        elif single:
            requirement = single.group(1) + (_constraint("=" + single.group(2)) or "")
            self.notes.append(f"{text}: conda's way to say {requirement}")
            self.requirements.append(requirement)
        else:
            self.requirements.append(text)

    def channels(self, given: Json) -> None:
        """Refuse a channel at an address of its own: a package of its name in the public index may be another's."""
        for channel in given if isinstance(given, list) and self.packages else ():
            if isinstance(channel, str) and "://" in channel and not _PUBLIC.match(channel):
                self.refused.append(f"{shown(channel)}: a private channel, which only conda can ask for packages")


def _within(version: str) -> tuple[str, ...]:
    """Return the Python versions in a range such as `>=3.8,<3.10`; empty where it is not understood."""
    found = [re.match(r"(>=|<=|>|<|!=)\s*3\.(\d+)(?:\.[\d*]+)?\Z", part.strip()) for part in version.split(",")]
    fits = []
    for minor in _MINORS:
        mine = int(minor.removeprefix("3."))
        if all(part is not None and _meets(mine, part.group(1), int(part.group(2))) for part in found):
            fits.append(minor)
    return tuple(fits)


def _meets(mine: int, operator: str, other: int) -> bool:
    """Compare minor versions; a third part makes no difference here."""
    match operator:
        case ">=":
            return mine >= other
        case "<=":
            return mine <= other
        case ">":
            return mine > other
        case "<":
            return mine < other
        case _:
            return mine != other


def _constraint(version: str) -> str | None:
    """Return conda's version constraint in pip's words; None where pip has none.

    `=1.21` and `1.21` are "begins with" in conda (conda documentation, package match specifications); with three
    parts or more people mean that very version.
    """
    text = version.strip()
    if not text:
        return ""
    if "|" in text:
        return None
    parts: list[str] = []
    for part in text.split(","):
        fields = part.strip()
        build = re.match(r"(=?=?\s*[^=<>!~\s]+)(?:=|\s+)[A-Za-z0-9_*.]+\Z", fields)
        found = _CONSTRAINT.match(build.group(1).strip() if build else fields)
        if not found:
            return None
        number, operator = found["version"], found["operator"]
        if number in ("*", "") and operator in (None, "="):
            continue
        if operator in (None, "="):
            bare = number.rstrip("*").rstrip(".")
            exact = number == bare and (build is not None or bare.count(".") >= _EXACT_PARTS - 1)
            parts.append(f"=={bare}" if exact else f"=={bare}.*")
        elif operator in ("==", "!=") or not number.endswith("*"):
            parts.append(operator + number)
        else:
            parts.append(operator + number.rstrip("*").rstrip("."))
    return ",".join(parts)


def substitute(name: str) -> Plan | None:
    """Return the stand-in for a curated environment or an image, by its name; None when the table has none."""
    for pattern, plan in _TABLE.curated:
        if pattern.search(name):
            return Plan(plan.python, list(plan.pip), [f"{name}: replaced by a pip list, as no image is pulled here"])
    return None


@dataclass
class _Tables:
    """The two JSON files beside this module."""

    pip: dict[str, str]
    unneeded: dict[str, str]
    native: frozenset[str]
    curated: list[tuple[re.Pattern[str], Plan]]


def _load() -> _Tables:
    here = Path(__file__).parent
    names = json.loads((here / "conda_names.json").read_text(encoding="utf-8"))
    curated = json.loads((here / "curated.json").read_text(encoding="utf-8"))
    return _Tables(
        pip=names["pip"],
        unneeded=names["unneeded"],
        native=frozenset(names["native"]),
        curated=[
            (re.compile(entry["pattern"], re.IGNORECASE), Plan(entry["python"], entry["pip"]))
            for entry in curated["substitutes"]
        ],
    )


_TABLE = _load()
