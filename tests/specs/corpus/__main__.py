"""Write what is found in every bad stack file anew. Read the difference before you keep it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.specs.corpus import FILES, deployed, found, read_subject

for path in FILES:
    subject = read_subject(path)
    before = deployed(subject)
    for case in subject.cases:
        with tempfile.TemporaryDirectory() as name:
            case.expected = found(subject.text(case), Path(name), before)
    path.write_text(subject.render(), "utf-8")
