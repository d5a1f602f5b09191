"""A detector that is asked now and answers later."""

from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future

from retinue_sdk.detector import Detector, OptionsT, Result
from retinue_sdk.image import Image


class FutureDetector(Detector[OptionsT]):
    """A detector whose answers are futures: many images under way, and no thread for each.

    For a detector that mostly waits for a service. The worker calls ``submit`` from one thread,
    image by image, and has up to ``capabilities.max_concurrency`` of them under way;
    ``max_batch_size`` is of no account. With asyncio, ``submit`` is a line:
    ``return asyncio.run_coroutine_threadsafe(self.look(image), self.loop)``.
    """

    @abstractmethod
    def submit(self, image: Image) -> Future[Result]:
        """Begin to look at an image, and return at once.

        Args:
            image: What to look at.

        Returns:
            A future of its ``Findings``, or of a ``DetectorError`` that tells why it could not be
            looked at; as its result or as its exception, which is the same. Whoever sets it does
            the worker's part on that thread, some tenths of a millisecond of it.

        Raises:
            DetectorError: It could not even begin.
        """

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Submit the images, and wait for all of them."""
        futures = [self.submit(image) for image in images]
        return [future.result() for future in futures]
