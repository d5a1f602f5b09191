"""ONNX Runtime sends no telemetry."""

import os
import socket
import subprocess
import sys

USE = """
from retinue_onnx.session import usable_providers
import time
usable_providers(["CPUExecutionProvider"])
time.sleep(3)  # the report is sent from a thread
"""


def test_onnx_runtime_connects_to_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.1)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
        automatic = {"CI", "GITHUB_ACTIONS", "TF_BUILD"}  # where it never reports
        variables = {name: value for name, value in os.environ.items() if name not in automatic}
        variables.pop("ORT_DISABLE_TELEMETRY", None)
        subprocess.run(
            [sys.executable, "-c", USE],
            env={**variables, **dict.fromkeys(names, address)},
            check=True,
        )
        try:
            proxy.accept()
        except TimeoutError:
            return
    raise AssertionError("ONNX Runtime connected to a server")
