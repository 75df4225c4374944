"""What the YAML parser says, in words that tell what to write instead. Pure."""

from __future__ import annotations

import re

SAYINGS: tuple[tuple[str, str], ...] = (
    (r"found character '\\t' that cannot start any token", "a tab. Indent with spaces."),
    (
        r"found character '(.)' that cannot start any token",
        "{0} can't begin a value. Put the value in quotes.",
    ),
    (
        r"mapping values are not allowed here",
        "a colon where none may be. Put a value that has one in quotes, or move the line under its neighbours' margin.",
    ),
    (r"could not find expected ':'", "a line without a colon stands before this. Write FIELD: VALUE."),
    (r"found undefined alias '(.*)'", "*{0} refers to nothing. Write the value out."),
    (r"found duplicate anchor '?(.*?)'?;.*", "the anchor {0} is written twice. Write the value out."),
    (r"but found another document", "a second document begins here. A file is one stack: delete the --- line."),
    (r"expected ',' or '\]', but got .*", "the list that opens with [ does not close. A comma or ] is missing."),
    (r"expected ',' or '\}', but got .*", "the mapping that opens with {{ does not close. A comma or }} is missing."),
    (
        r"expected <block end>, but found .*",
        "this does not belong to what stands above. Give it its neighbours' margin; a list's items begin with a dash.",
    ),
    (r"found unexpected end of stream", "the file ends inside a quoted text. Close the quote."),
    (r"found unexpected document separator", "--- inside a quoted text. Close the quote before it."),
    (r"found unknown escape character '(.)'", "\\{0} is no escape. Write \\\\ for a backslash, or use single quotes."),
    (r"expected escape sequence of (\d+) hexadecimal numbers, but found .*", "an escape needs {0} hexadecimal digits."),
    (r"expected the node content, but found .*", "a value is missing here. Give one, or put it in quotes."),
    (r"found incompatible YAML document.*", "the %YAML line names another version. Delete it."),
    (r"expected alphabetic or numeric character, but found .*", "* and & need a name. Put the value in quotes."),
    (r"unacceptable character #x([0-9a-f]+): .*", "the character U+{0} is not allowed. Delete it."),
)


def in_words(problem: str) -> str:
    """Say what a parser's message means; the message itself where it is one that we do not know."""
    for pattern, words in SAYINGS:
        if match := re.fullmatch(pattern, problem, re.DOTALL):
            return f"not YAML: {words.format(*match.groups())}"
    return f"not YAML: {problem.rstrip('.')}."
