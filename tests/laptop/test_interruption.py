import os
import signal
import sys
from contextlib import suppress

import pytest
from retinue_cli.local.signals import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert signal.getsignal(number) is before


def test_a_signal_that_python_swallows_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    swallowed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: swallowed.append(info.exc_type))

    class Finalised:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with Interruption() as interruption:
        Finalised()
        assert swallowed == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_the_end_is_not_interrupted() -> None:
    with Interruption() as interruption:
        interruption.ignore()
        os.kill(os.getpid(), signal.SIGINT)


def test_an_error_that_a_library_makes_of_a_signal_is_an_interruption() -> None:
    def work() -> None:
        with Interruption():
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            raise ValueError("KeyboardInterrupt:")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__cause__, ValueError)
