"""Values that shells, YAML, JSON, SSH and file systems are known to trip over. Each must arrive as it is.

`{canary}` stands for a path that must not come into being.
"""

from __future__ import annotations

SHELL = (
    "; touch {canary}", "&& touch {canary}", "|| touch {canary}", "| touch {canary}", "& touch {canary} &",
    "$(touch {canary})", "`touch {canary}`", "${{IFS}}touch{canary}", "$IFS", "${{HOME}}", "$HOME", "~", "~root", "!!",
    "!$", "{{a,b}}", "*", "?", "[a-z]*", "../*", "> {canary}", ">> {canary}", "< /etc/passwd", "2>&1", "<(ls)",
    "<<EOF", "<<<x", "\\", "\\\\", "\\n", "\\$HOME", "#comment", "a#b", "(touch {canary})", "$((1+1))", "$'\\x41'",
    '$"x"', "%s%n", "%PATH%", "$PATH:/x", "a;b", "a&b", "a|b", "-rf /", "--help", "-", "--", "-c", "-e", "=", "=x",
    "x=y", "+x", "@file", "@-", ":", ".", "..", "/", "//", "/dev/null", "$0", "$1", "$@", "$*", "$#", "$?", "$$",
)  # fmt: skip
QUOTES = (
    "'", '"', "''", '""', "'\"'", "\"'\"", "it's", 'say "hi"', "'; touch {canary}; '", '"; touch {canary}; "',
    "'$(touch {canary})'", '"$(touch {canary})"', "\\'", '\\"', "'\\''", "`", "``", "\u2019", "“”", "«»",
)  # fmt: skip
BLANKS = (
    " ", "  ", " a", "a ", " a b ", "a  b", "\t", "a\tb", "\n", "a\nb", "a\n", "\na", "a\n\nb", "\r\n", "a\r\nb", "\r",
    "\x0b", "\x0c", "\u00a0", "\u2028", "\u200b", "\ufeffx", "",
)  # fmt: skip
TEXT = (
    "é", "e\u0301", "ñandú", "日本語", "العربية", "🚂", "\U0001f468\u200d\U0001f469", "\u202eabc", "\x01",
    "\x1b[31mred\x1b[0m", "\x7f", "\x85",
    "null", "true", "True", "no", "~", "1e3", "0x10", "010", "1_000", "22:30", "2020-01-01", "NaN",
    ".5", "-1", "[]", "{{}}", "{{}}}}", "[a, b]", "{{a: b}}", "- x", "? x", ": x", "&a", "*a", "!!str x", "| x", "%TAG",
    '{{"a": 1}}', "\\u0041", "&amp;<b>", "</script>", "<!--", "%2e%2e%2f", "%00", "${{{{inputs.p0}}}}", "$[[x]]",
    "azureml:x", "file:///etc/passwd", "https://example.com/?a=b&c=d#e", "C:\\temp\\x", "\\\\host\\share", "x" * 5000,
)  # fmt: skip


def values(canary: str) -> list[str]:
    """Return every payload, with the canary's path in it."""
    return [text.format(canary=canary) for text in (*SHELL, *QUOTES, *BLANKS, *TEXT)]


def names(canary: str) -> list[str]:
    """Return those that can be the name of a file in a snapshot: no slash, no control character, not too long."""
    flat = (text.replace("/", "_") for text in values(canary))
    return sorted(
        {
            text
            for text in flat
            if text not in {"", ".", ".."}
            and len(text.encode()) <= 200
            and all(ord(char) >= 0x20 and not 0x7F <= ord(char) < 0xA0 for char in text)
            and "\u2028" not in text
        }
    )
