"""What a plugin raised, for the person who writes it."""

import traceback
from types import TracebackType

_OURS = ("retinue_cli.", "retinue_sdk.", "retinue_workers.", "click.", "asyncio.")


def plugin_traceback(error: BaseException) -> str:
    """Return a traceback that begins at the first frame of the plugin, and the error's words."""
    frame = error.__traceback__
    while frame is not None and _is_ours(frame):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def _is_ours(frame: TracebackType) -> bool:
    name = frame.tb_frame.f_globals.get("__name__", "")
    return f"{name}.".startswith(_OURS)
