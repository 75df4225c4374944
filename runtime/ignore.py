"""Which files of a source folder stay behind: azure-ai-ml's rule, and what is never sent.

The rule (azure-ai-ml 1.35.2, `get_ignore_file` and `IgnoreFile.is_file_excluded`): the root's `.amlignore`, or its
`.gitignore` where there is none; the last pattern that matches a file's path decides, so `data/` followed by
`!data/keep.csv` keeps that file. Our two extensions: `.gitignore` files below the root count as in git where no
`.amlignore` is in charge, and `ALWAYS` names are never sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pathspec.patterns.gitignore.base import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from specs.problems import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

AML_IGNORE = ".amlignore"
GIT_IGNORE = ".gitignore"
ALWAYS = frozenset({".git", ".trainyard", "__pycache__"})
"""Never sent, at any depth. azure-ai-ml leaves `__pycache__` out of components only, and sends `.git`."""
_GLOB = re.compile(r"[*?\[\\]")
_NOTHING = re.compile(r"!?/(\*\*/)+")


class _Pattern(NamedTuple):
    """One line of an ignore file."""

    matches: Callable[[str], re.Match[str] | None]
    excludes: bool
    prefix: str | None
    """The literal path that a `!` pattern is bound to."""
    folders_only: bool


class Rules:
    """The patterns of one ignore file; paths given to it are relative to the file's folder."""

    def __init__(self, patterns: Sequence[_Pattern]) -> None:
        self._last_first = patterns[::-1]
        self._inside: dict[str, tuple[Sequence[_Pattern], bool | None]] = {}

    def verdict(self, path: str) -> bool | None:
        """Return True for excluded, False for kept, None where no pattern says anything. A folder ends in `/`."""
        patterns, otherwise = self.inside(path[: path.rfind("/", 0, -1) + 1])
        for matches, excludes, _, _ in patterns:
            if matches(path):
                return excludes
        return otherwise

    def inside(self, folder: str) -> tuple[Sequence[_Pattern], bool | None]:
        """Return what there is to ask of what a folder holds, the last pattern first, and the verdict if none matches.

        In a folder that is excluded, only what could keep a file is asked.
        """
        if folder in self._inside:
            return self._inside[folder]
        found: tuple[Sequence[_Pattern], bool | None] = self._last_first, None
        for number, pattern in enumerate(self._last_first):
            if pattern.excludes and folder and pattern.matches(folder):
                keeps = [at for at, later in enumerate(self._last_first[:number]) if not later.excludes]
                found = self._last_first[: keeps[-1] + 1 if keeps else 0], True
                break
        self._inside[folder] = found
        return found

    def own(self, path: str) -> bool | None:
        """Return git's verdict on a path itself: the folders it is in are judged before it, and `x/**` is not `x`."""
        for pattern in self._last_first:
            found = pattern.matches(path if pattern.folders_only else path.rstrip("/"))
            if found is None:
                continue
            at = found.start("ps_d") if "ps_d" in found.re.groupindex else -1
            if at < 0 or (pattern.folders_only and at == len(path) - 1):
                return pattern.excludes
        return None

    def prunes(self, folder: str) -> bool:
        """Tell whether nothing below an excluded folder (`a/b/`) can be kept by a later `!` pattern."""
        for matches, excludes, prefix, _ in self._last_first:
            if excludes:
                if matches(folder):
                    return True
            elif prefix is None or prefix.startswith(folder) or folder.startswith(prefix):
                return False
        return False


def read(path: Path, shown: str, *, root: bool) -> Rules | None:
    """Read an ignore file; None where there is none. Raises `SpecError` at the line that is no pattern.

    The root's is read as azure-ai-ml 1.35.2 does (`_utils/_pathspec.py`): there `[^a]` is `^` or `a`, `/**/` nothing.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise SpecError(
            [Problem(shown, 1, 1, "", f"is not UTF-8 text (byte {error.start}).", rule="encoding")]
        ) from None
    except OSError as error:
        raise SpecError([Problem(shown, 1, 1, "", f"can't be read: {error.strerror}.", rule="file")]) from None
    patterns = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text == "/" or (root and _NOTHING.fullmatch(text)):
            continue
        try:
            pattern = GitIgnoreSpecPattern(text.replace("[^", "[\\^") if root else text)
        except (GitIgnorePatternError, re.error):
            message = "is not a pattern. Escape a special character with a backslash."
            raise SpecError([Problem(shown, number, 1, "", message, given=repr(text), rule="ignore-pattern")]) from None
        if pattern.include is not None and pattern.regex is not None:
            known = _Pattern(pattern.regex.search, pattern.include, _prefix(text), text.endswith("/"))
            patterns.append(known)
    return Rules(patterns)


def _prefix(text: str) -> str | None:
    """Return the literal path that a `!` pattern is bound to, with a closing slash; None where it has none."""
    body = text.removeprefix("!")
    if "/" not in body.rstrip("/"):
        return None
    literal = []
    for part in body.lstrip("/").split("/"):
        if not part or _GLOB.search(part):
            break
        literal.append(part)
    return "/".join(literal) + "/" if literal else None


class Chain:
    """The ignore files in charge of a folder, the root's first; a deeper one overrules those above it, as in git."""

    def __init__(self, rules: tuple[tuple[int, Rules], ...], *, nested: bool) -> None:
        self._deepest_first = rules[::-1]
        self._rules = rules
        self._only = rules[0][1] if len(rules) == 1 and rules[0][0] == 0 else None
        self.nested = nested
        """Whether `.gitignore` files further down are read."""

    @classmethod
    def of_root(cls, root: Path) -> Chain:
        """Read the root's ignore file. Raises `SpecError`."""
        aml = read(root / AML_IGNORE, AML_IGNORE, root=True)
        found = aml or read(root / GIT_IGNORE, GIT_IGNORE, root=True)
        return cls(((0, found),) if found else (), nested=aml is None)

    def below(self, folder: Path, relative: str) -> Chain:
        """Return the chain for a folder that has a `.gitignore` of its own; `relative` ends in a slash."""
        found = read(folder / GIT_IGNORE, relative + GIT_IGNORE, root=False)
        return Chain((*self._rules, (len(relative), found)), nested=True) if found else self

    def sieve(self, folder: str) -> Callable[[str], bool]:
        """Return `excludes` for what is directly in one folder (`a/b/`), quicker where it holds many files."""
        if self._only is None:
            return self.excludes
        patterns, otherwise = self._only.inside(folder)

        def excludes(path: str) -> bool:
            for matches, verdict, _, _ in patterns:
                if matches(path):
                    return verdict
            return otherwise is True

        return excludes

    def excludes(self, path: str) -> bool:
        """Tell whether a file stays behind."""
        for start, rules in self._deepest_first:
            verdict = rules.own(path[start:]) if start else self._of_root(rules, path)
            if verdict is not None:
                return verdict
        return False

    def prunes(self, folder: str) -> bool:
        """Tell whether a folder (`a/b/`) need not be looked into."""
        for start, rules in self._deepest_first:
            verdict = rules.own(folder[start:]) if start else self._of_root(rules, folder)
            if verdict is not None:
                # Below the root we are git: what is in an excluded folder can't come back.
                return verdict and (start > 0 or rules.prunes(folder))
        return False

    def _of_root(self, rules: Rules, path: str) -> bool | None:
        """Return the root's verdict; what it says of a folder that a deeper file took back is void below that."""
        verdict = rules.verdict(path)
        return rules.own(path) if verdict and len(self._rules) > 1 and self._taken_back(path) else verdict

    def _taken_back(self, path: str) -> bool:
        deeper = [(start, rules) for start, rules in self._deepest_first if start]
        ends = [at + 1 for at, char in enumerate(path[:-1]) if char == "/"] if deeper else []
        said = (
            next(
                (found for start, rules in deeper if start < end and (found := rules.own(path[start:end])) is not None),
                None,
            )
            for end in ends
        )
        return False in said
