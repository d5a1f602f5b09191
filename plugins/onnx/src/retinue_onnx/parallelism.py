"""Divide a machine's cores, or a GPU, among the images of a detector."""

from dataclasses import dataclass

from retinue_sdk.cores import usable_cores

from retinue_onnx.execution import CPU
from retinue_onnx.options import RuntimeOptions

MAX_CALLS = 8
"""Default maximum number of concurrent calls: as many images as a worker prefetches by default."""

ACCELERATOR_CALLS = 2
"""Default number of concurrent calls on a GPU: one is prepared and read while another computes."""

ACCELERATOR_BATCH = 64
"""Default maximum batch size on a GPU."""

ACCELERATOR_WAIT_MS = 100.0
"""Default time on a GPU that an image waits for others that are being loaded. Meanwhile four cores
decode about 60 photographs.
"""


@dataclass(frozen=True, slots=True)
class Parallelism:
    """The degrees of parallelism.

    Attributes:
        calls: Concurrent calls of the detector.
        images: Maximum number of images in a batch.
        threads: Threads of an operator on the CPU; 0 for one per core.
        wait_ms: Maximum time that an image waits for a full batch, in milliseconds.
        provider: The execution provider.
    """

    calls: int
    images: int
    threads: int
    wait_ms: float
    provider: str

    @property
    def is_accelerator(self) -> bool:
        """Return whether the provider isn't the CPU."""
        return self.provider != CPU


def parallelism(options: RuntimeOptions) -> Parallelism:
    """Return the parallelism of the options. Defaults maximize the throughput.

    On a CPU the default is one image per core. Two cores took 23 ms per image with two calls of one
    thread, and 28 ms or more with one call of two threads. Batches save nothing there. A GPU needs
    batches.

    Raises:
        ConfigurationError: A provider is unknown, or can't be used.
    """
    # Not at the top: every worker that finds this plugin would then import NumPy.
    from retinue_onnx.session import session_provider

    execution = options.execution
    provider = session_provider(execution.providers)
    execution.check(provider)
    if provider != CPU:
        calls = options.max_concurrency or (1 if execution.is_serial else ACCELERATOR_CALLS)
        images = options.max_batch_size or ACCELERATOR_BATCH
        wait_ms = ACCELERATOR_WAIT_MS if options.max_wait_ms is None else options.max_wait_ms
        return Parallelism(calls, images, options.threads, wait_ms, provider)
    cores = usable_cores()
    calls = options.max_concurrency or min(cores, MAX_CALLS)
    threads = options.threads or max(1, cores // calls)
    images, wait_ms = options.max_batch_size or 1, options.max_wait_ms or 0.0
    return Parallelism(calls, images, threads, wait_ms, provider)
