"""A site that the browser is let loose on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.web import Web


@dataclass
class Site:
    url: str
    web: Web
    cookies: list[dict[str, Any]]

    def id(self, name: str) -> str:
        """Id of the node that bears this name."""
        row = self.web.record.one("select id from node where name = %s", (name,))
        assert row, name
        return str(row["id"])

    def project(self) -> None:
        """Bring the graph up to the record, as the projector does."""
        from answers import status
        from workers.projector import project_once

        while project_once(self.web.record, self.web.dlv.graph):
            pass
        status.forget(self.web.record)
