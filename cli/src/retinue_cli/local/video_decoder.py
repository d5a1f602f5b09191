"""Install the decoder of videos when the first video comes.

It isn't installed with Retinue: it takes 104 MB, and its wheels hold x264 and x265 under the GPL.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

from retinue_cli.local.errors import LaptopError
from retinue_cli.local.uv_program import UvError, run_uv


def ensure_decoder(on_install: Callable[[], None]) -> None:
    """Install the extra ``video`` of retinue-workers into this environment, unless it is there.

    Args:
        on_install: Called before an installation, which takes seconds and needs the network.

    Raises:
        LaptopError: It can't be installed.
    """
    if importlib.util.find_spec("av") is not None:
        return
    on_install()
    requirements = decoder_requirements()
    try:
        # Where no project's settings apply.
        run_uv("pip", "install", "--python", sys.executable, *requirements, cwd=Path(sys.prefix))
    except UvError as error:
        raise LaptopError(
            f"the decoder of videos cannot be installed:\n{error}\n"
            "It is installed once, and needs PyPI for that: connect to the network, or set "
            "UV_DEFAULT_INDEX to your mirror, and run again."
        ) from error
    importlib.invalidate_caches()


def decoder_requirements() -> list[str]:
    """Return the packages that the extra ``video`` of retinue-workers adds."""
    wanted = map(Requirement, requires("retinue-workers") or ())
    return [
        f"{each.name}{each.specifier}"
        for each in wanted
        if each.marker is not None
        and each.marker.evaluate({"extra": "video"})
        and not each.marker.evaluate({"extra": ""})
    ]
