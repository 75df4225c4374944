"""Turn Azure ML's placeholders in a job's command into references to environment variables.

`${{inputs.x}}` becomes `"${AZURE_ML_INPUT_x}"`, written as the quotes around it need, so that the shell never reads a
value again: a value with quotes, newlines or `$(...)` reaches the program as it is. Azure ML substitutes text instead;
the two agree for every value that the shell would have left alone. A value that the command itself hands to another
shell (`eval`, `bash -c "...${{inputs.x}}"`) is read by that one, here as there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INPUT_PREFIX = "AZURE_ML_INPUT_"
OUTPUT_PREFIX = "AZURE_ML_OUTPUT_"
"""The names under which Azure ML's own job runtime hands a job its inputs and outputs."""

_PLACEHOLDER = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_BINDING = re.compile(r"(inputs|outputs)\.([A-Za-z0-9_.\-]+)\Z")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_HEREDOC = re.compile(r"<<(-?)[ \t]*(\\?)(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\3")
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")
_COMMENT_AFTER = " \t\n;|&()"

_PLAIN, _DOUBLE, _SINGLE, _ANSI, _PARENS, _BACKTICK, _BRACE, _QUOTED_BRACE, _ARITHMETIC = (
    "plain", "double", "single", "ansi", "parens", "backtick", "brace", "quoted brace", "arithmetic",
)  # fmt: skip
_CLOSERS = {_PARENS: ")", _BACKTICK: "`", _BRACE: "}", _QUOTED_BRACE: "}", _DOUBLE: '"', _SINGLE: "'", _ANSI: "'"}


def render(command: str, inputs: Mapping[str, str | None], outputs: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the command with references for placeholders, and the variables that it refers to.

    An input that is None is declared but absent: the `$[[...]]` groups that name it are dropped. Every input that has
    a value and every output gets its variable, used or not. Raises: ValueError naming an unknown placeholder and
    those known, or a place where the shell can't be kept from reading a value again.
    """
    names = _variables(inputs, outputs)
    text = _OPTIONAL.sub(lambda group: _optional(group.group(1), inputs), command)
    values = {
        **{names["inputs." + name]: value for name, value in inputs.items() if value is not None},
        **{names["outputs." + name]: value for name, value in outputs.items()},
    }
    for variable, value in values.items():
        if "\0" in value:
            raise ValueError(f"the value for {variable} holds a NUL character")
    absent = {"inputs." + name for name, value in inputs.items() if value is None}
    known = {name: variable for name, variable in names.items() if name not in absent}
    return _Scanner(text, known, values).run(), values


def _variables(inputs: Mapping[str, str | None], outputs: Mapping[str, str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for prefix, group, entries in ((INPUT_PREFIX, "inputs.", inputs), (OUTPUT_PREFIX, "outputs.", outputs)):
        for name in entries:
            variable = prefix + re.sub(r"[^A-Za-z0-9_]", "_", name)
            while variable in names.values():
                variable += "_"
            names[group + name] = variable
    return names


def _optional(body: str, inputs: Mapping[str, str | None]) -> str:
    for found in _PLACEHOLDER.finditer(body):
        binding = _BINDING.match(found.group(1))
        if binding and binding.group(1) == "inputs" and inputs.get(binding.group(2)) is None:
            return ""
    return body


_NOT_IN = {'"': (_ARITHMETIC,), "(": (_BRACE,)}


class _Scanner:
    """Follows the shell's quoting through a command, so that each reference is written for the place it stands in."""

    def __init__(self, text: str, names: Mapping[str, str], values: Mapping[str, str]) -> None:
        self.text, self.names, self.values = text, names, values
        self.at = 0
        self.out: list[str] = []
        self.stack = [_PLAIN]
        self.heredocs: list[tuple[str, bool, bool]] = []

    def run(self) -> str:
        while self.at < len(self.text):
            found = _PLACEHOLDER.match(self.text, self.at)
            if found:
                self.out.append(self.reference(found.group(1), self.stack[-1]))
                self.at = found.end()
            else:
                self.step()
        return "".join(self.out)

    def reference(self, name: str, place: str) -> str:
        variable = self.names.get(name)
        if variable is None:
            known = ", ".join(sorted(self.names)) or "none"
            raise ValueError(f"the command names ${{{{{name}}}}}, which the job does not give; it gives: {known}")
        if place == _SINGLE:
            return f"'\"${{{variable}}}\"'"
        if place == _ANSI:
            return f"'\"${{{variable}}}\"$'"
        if place == _ARITHMETIC and not _INTEGER.match(self.values[variable]):
            raise ValueError(f"${{{{{name}}}}} stands in shell arithmetic, so its value must be a whole number")
        return f"${{{variable}}}" if place in (_DOUBLE, _ARITHMETIC, _QUOTED_BRACE) else f'"${{{variable}}}"'

    def take(self, count: int) -> None:
        self.out.append(self.text[self.at : self.at + count])
        self.at += count

    def step(self) -> None:
        place, char = self.stack[-1], self.text[self.at]
        if place in (_SINGLE, _ANSI):
            self.quoted(place, char)
        elif char == "\\":
            self.escape()
        elif char == _CLOSERS.get(place):
            self.stack.pop()
            self.take(1)
        elif place == _ARITHMETIC and self.text.startswith("))", self.at):
            self.stack.pop()
            self.take(2)
        elif not self.opened(place, char):
            self.other(place, char)

    def quoted(self, place: str, char: str) -> None:
        if char == "'":
            self.stack.pop()
        self.take(2 if place == _ANSI and char == "\\" else 1)

    def escape(self) -> None:
        if _PLACEHOLDER.match(self.text, self.at + 1):
            self.at += 1  # it would quote our own first character; the shell drops it before a plain value as well
        else:
            self.take(2)

    def opened(self, place: str, char: str) -> bool:
        """Enter what begins here: quotes (not again inside double ones), `$(`, `$((`, `${`, a backtick."""
        rest = self.text[self.at : self.at + 3]
        bare = place in (_PLAIN, _PARENS, _BACKTICK, _BRACE)
        brace = _BRACE if bare else _QUOTED_BRACE
        for start, inner, everywhere in (
            ("$((", _ARITHMETIC, True), ("$(", _PARENS, True), ("${", brace, True), ("`", _BACKTICK, True),
            ('"', _DOUBLE, True), ("$'", _ANSI, False), ("'", _SINGLE, False), ("((", _ARITHMETIC, False),
            ("(", _PARENS, False),
        ):  # fmt: skip
            if rest.startswith(start) and (everywhere or bare) and place not in _NOT_IN.get(char, ()):
                self.stack.append(inner)
                self.take(len(start))
                return True
        return False

    def other(self, place: str, char: str) -> None:
        bare = place in (_PLAIN, _PARENS)
        heredoc = _HEREDOC.match(self.text, self.at) if bare and not self.text.startswith("<<<", self.at) else None
        if bare and self.text.startswith("<<<", self.at):
            self.take(3)
        elif heredoc:
            dash, backslash, quote, word = heredoc.groups()
            self.heredocs.append((word, bool(dash), bool(backslash or quote)))
            self.take(heredoc.end() - heredoc.start())
        elif bare and char == "#" and (self.at == 0 or self.text[self.at - 1] in _COMMENT_AFTER):
            end = self.text.find("\n", self.at)
            self.take((end if end >= 0 else len(self.text)) - self.at)
        else:
            self.take(1)
            if char == "\n" and bare and self.heredocs:
                self.bodies()

    def bodies(self) -> None:
        """Copy here-documents, in which quotes mean nothing; a quoted delimiter lets the shell replace nothing."""
        for word, dash, literal in self.heredocs:
            while self.at < len(self.text):
                end = self.text.find("\n", self.at) + 1 or len(self.text)
                line, self.at = self.text[self.at : end], end
                self.out.append(_PLACEHOLDER.sub(lambda found: self.in_heredoc(found.group(1), literal=literal), line))  # noqa: B023
                bare = line.rstrip("\n")
                if (bare.lstrip("\t") if dash else bare) == word:
                    break
        self.heredocs = []

    def in_heredoc(self, name: str, *, literal: bool) -> str:
        if literal:
            raise ValueError(
                f"${{{{{name}}}}} stands in a here-document with a quoted delimiter, where the shell replaces nothing: "
                "take the quotes off the delimiter"
            )
        return self.reference(name, _DOUBLE)
