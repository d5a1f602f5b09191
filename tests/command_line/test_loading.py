"""Ctrl-C while modules load ends a command, whatever a library makes of it."""

import os
import signal
import sys
from pathlib import Path

import pytest
from retinue_cli.loading import loading

MODULES = {
    "raises": "raise",
    "turns_it_into_an_error": "raise ValueError('KeyboardInterrupt:') from None",
    "swallows_it": "pass",
}


@pytest.mark.parametrize("name", MODULES)
def test_ctrl_c_while_a_module_loads_is_not_lost(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        f"    {MODULES[name]}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(KeyboardInterrupt), loading():
        __import__(name)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_errors_of_modules_are_raised() -> None:
    with pytest.raises(ModuleNotFoundError), loading():
        __import__("no_such_module_anywhere")


def test_a_handler_of_another_is_left_alone() -> None:
    received: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        with loading():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, former)
    assert received == [signal.SIGINT]
