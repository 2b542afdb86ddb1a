"""As much of W&B's server as `wandb sweep` and `wandb agent` talk to: five GraphQL operations on loopback.

Which points are run is decided by W&B's own `sweeps` library, as on their server.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import yaml

from sweeps import RunState, next_run


PROJECT = {"id": "p", "name": "project", "entity": {"id": "e", "name": "somebody"}}


class Server(ThreadingHTTPServer):
    """Holds one sweep, and hands out its points one at a time."""

    def __init__(self, most: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.most = most
        self.config: dict[str, Any] = {}
        self.runs: list[Any] = []
        self.heard: list[str] = []
        self.states: dict[str, bool] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def points(self) -> list[dict[str, Any]]:
        return [{key: entry["value"] for key, entry in run.config.items()} for run in self.runs]

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        self.heard.append(operation)
        return getattr(self, f"on_{operation}", lambda _: {})(variables)

    def on_Viewer(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        viewer = {"id": "u", "entity": "somebody", "username": "somebody", "flags": "{}", "email": "a@b.c"}
        return {"viewer": viewer | {"teams": {"edges": []}}, "serverInfo": {}}

    def on_UpsertSweep(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.config = yaml.safe_load(variables["config"])
        sweep = {"name": "abcd1234", "project": PROJECT}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def on_SweepWithRuns(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        sweep = {"id": "s", "name": "abcd1234", "state": "RUNNING", "config": yaml.safe_dump(self.config)}
        return {"project": {"sweep": sweep | {"runs": {"edges": []}}}}

    def on_CreateAgent(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"createAgent": {"agent": {"id": "a"}}}

    def on_Heartbeat(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        running = json.loads(variables["runState"])
        commands = [] if running else [self._next()]
        return {"agentHeartbeat": {"agent": {"id": "a"}, "commands": json.dumps(commands)}}

    def _next(self) -> dict[str, Any]:
        run = next_run(self.config, self.runs) if len(self.runs) < self.most else None
        if run is None:
            return {"type": "exit"}
        run.state = RunState.finished
        self.runs.append(run)
        program = self.config.get("program")
        return {"type": "run", "run_id": f"point{len(self.runs)}", "args": run.config, "program": program}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer: dict[str, Any] = {}
        if self.path == "/graphql":
            asked = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            operation = name[1] if name else "nameless"
            answer = {"data": self.server.answer(operation, asked.get("variables") or {})}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving(most: int = 100) -> Iterator[Server]:
    """A server that hands out at most so many points."""
    server = Server(most)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
