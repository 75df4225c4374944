"""The Pulumi program: declares what the stack's file in this folder says."""

from pathlib import Path

from stacks.program import declare

declare(Path(__file__).parent)
