"""The ECS agent's endpoints for a task: its role's credentials, and its scale-in protection.

By the ECS developer guide, "Task scale-in protection endpoint" and "Task IAM role".
"""

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

LONGEST_MINUTES = 2_880


class EcsAgent:
    """A context manager: the agent answers inside.

    Args:
        keys: Access key id and secret access key of the task's role.

    Attributes:
        requests: What was asked of the protection endpoint, in order.
        failures: Answers (status and body) to give instead, one for each request to come.
        answering: While it is cleared, requests for protection wait for their answers.
    """

    def __init__(self, keys: tuple[str, str] = ("AKIATASK", "secret")) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failures: list[tuple[int, dict[str, Any]]] = []
        self.answering = Event()
        self.answering.set()
        self._keys = keys
        self._lock = Lock()
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(*agent.answer_get(self.path))

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._send(*agent.answer_put(self.path, body))

            def _send(self, status: int, answer: Mapping[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables that ECS adds to a task."""
        return {
            "ECS_AGENT_URI": f"{self.url}/api/task",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/credentials",
        }

    @property
    def protected(self) -> bool:
        """Return the last requested protection."""
        with self._lock:
            return bool(self.requests) and self.requests[-1]["ProtectionEnabled"] is True

    def answer_get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return the role's credentials."""
        if path != "/credentials":
            return 404, {}
        key, secret = self._keys
        return 200, {
            "AccessKeyId": key,
            "SecretAccessKey": secret,
            "Token": "",
            "Expiration": "2099-01-01T00:00:00Z",
        }

    def answer_put(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Take a request for protection, or refuse it as the agent does."""
        if path != "/api/task/task-protection/v1/state":
            return 404, {}
        given = json.loads(body)
        minutes = given.get("ExpiresInMinutes")
        known = set(given) <= {"ProtectionEnabled", "ExpiresInMinutes"}
        if not known or not isinstance(given.get("ProtectionEnabled"), bool):
            return 400, {"error": {"Code": "InvalidParameterException", "Message": "bad request"}}
        if minutes is not None and not 1 <= minutes <= LONGEST_MINUTES:
            return 400, {"error": {"Code": "InvalidParameterException", "Message": "bad minutes"}}
        with self._lock:
            self.requests.append(given)
            if self.failures:
                return self.failures.pop(0)
        self.answering.wait(10)
        return 200, {"protection": {"ProtectionEnabled": given["ProtectionEnabled"]}}
