"""Waiting for a history that is away, with the circuit open meanwhile."""

from collections.abc import Callable
from itertools import count
from threading import Event
from typing import TypeVar

from retinue_history import HistoryUnavailableError

from retinue_workers.limits.backoff import backoff_seconds
from retinue_workers.limits.receive_gate import CircuitBreaker

AnswerT = TypeVar("AnswerT")

CAUSE = "history"
"""The circuit breaker's cause while the history is away."""


def ask_patiently(
    ask: Callable[[], AnswerT], *, breaker: CircuitBreaker, stopping: Event
) -> AnswerT | None:
    """Ask the history until it answers.

    Args:
        ask: The question; asked again after ``HistoryUnavailableError``.
        breaker: Open, for the cause ``history``, while it does not answer.
        stopping: Ends the waiting.

    Returns:
        The answer; ``None`` if the worker stops first.
    """
    for tries in count():
        try:
            answer = ask()
        except HistoryUnavailableError as error:
            breaker.trip(CAUSE, str(error))
            if stopping.wait(backoff_seconds(tries)):
                return None
        else:
            breaker.reset(CAUSE)
            return answer
    raise AssertionError("count() does not end")
