"""The pictures of a console, from start to end."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

from retinue_cli.options.database import is_of_laptop
from retinue_cli.options.originals import Originals
from retinue_history import HistoryError
from retinue_workers.settings.settings import Settings

from retinue_console.database import Database
from retinue_console.pictures.cache import PictureCache
from retinue_console.pictures.decoder import Decoder
from retinue_console.pictures.pictures import Pictures
from retinue_console.settings import ConsoleSettings

TIDY_SECONDS = 300.0
"""How often pictures of images that the history no longer has are removed, and decoding
processes without work ended."""

_log = logging.getLogger(__name__)


@contextmanager
def open_pictures(
    database: Database, settings: ConsoleSettings, worker_settings: Settings
) -> Iterator[Pictures]:
    """Offer pictures inside the block, and keep their cache free of forgotten images."""
    with ExitStack() as stack:
        folder = settings.pictures_dir or _folder(stack, worker_settings)
        cache = PictureCache(folder, settings.pictures_cache_mb * 1_000_000)
        decoder = stack.enter_context(closing(Decoder()))
        originals = stack.enter_context(closing(Originals(worker_settings)))
        pictures = Pictures(database, originals, cache, decoder)
        ended = Event()
        stack.callback(ended.set)
        Thread(target=_tidy, args=(pictures, decoder, ended), name="tidy", daemon=True).start()
        yield pictures


def _folder(stack: ExitStack, worker_settings: Settings) -> Path:
    """Return the laptop's folder, or one that is removed at the end."""
    if not is_of_laptop(worker_settings):
        return Path(stack.enter_context(TemporaryDirectory(prefix="retinue-pictures-")))
    from retinue_cli.local.state import State

    return State.find().pictures


def _tidy(pictures: Pictures, decoder: Decoder, ended: Event) -> None:
    while not ended.is_set():
        try:
            pictures.purge()
        except (HistoryError, OSError) as error:
            _log.warning("pictures_not_purged: %s", error)
        decoder.end_idle()
        ended.wait(TIDY_SECONDS)
