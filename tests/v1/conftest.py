from __future__ import annotations

from tests.runtime.conftest import _own_cache, clock, emulated, line, project, site, transport

__all__ = ["_own_cache", "clock", "emulated", "line", "project", "site", "transport"]
