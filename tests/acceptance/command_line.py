"""The command line as a person uses it: real processes, real Postgres, real AWS protocol."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from retinue_cli.local import EmbeddedPostgres, State
from retinue_history.db.connections import connect

RETINUE = Path(sys.executable).with_name("retinue")


@dataclass
class CommandLine:
    """``retinue`` in a folder of its own."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self, **extra: str) -> dict[str, str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "RETINUE_", "LOCALSTACK_"))
        }
        return clean | {"COLUMNS": "120"} | extra

    def __call__(
        self, *arguments: str, check: bool = True, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [RETINUE, *arguments],
            cwd=self.folder,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=100,
        )
        if check:
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.log()}"
        return done

    def start(
        self, *arguments: str, program: str | Path = RETINUE, stdout: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [program, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            # A test runner in the background may have told its children to ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what a failed test left behind."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=30)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return rows of the history as JSON values, without the command line's second."""
        with (
            EmbeddedPostgres(State(self.folder / ".retinue")) as postgres,
            closing(connect(postgres.url(), "test")) as connection,
        ):
            rows = connection.execute(f"SELECT to_jsonb(asked) FROM ({sql}) AS asked".encode())
            return [row for (row,) in rows]

    def log(self) -> str:
        log = self.folder / ".retinue" / "logs" / "worker.log"
        return log.read_text() if log.exists() else "(no worker log)"

    def log_entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines()]

    def processes(self) -> list[str]:
        """Everything that still runs on behalf of this folder."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                words = " ".join(process.info["cmdline"] or ())
                if str(self.folder) in words or str(self.folder) in process.environ().get(
                    "_RETINUE_LAPTOP", ""
                ):
                    found.append(words)
            except psutil.Error:
                continue
        return found
