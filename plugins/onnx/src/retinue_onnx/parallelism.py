"""Divide a machine's cores among the images of a detector."""

from dataclasses import dataclass

from retinue_sdk.cores import usable_cores

from retinue_onnx.options import RuntimeOptions

CPU = "CPUExecutionProvider"

MAX_CALLS = 8
"""Default maximum number of concurrent calls: as many images as a worker prefetches by default."""

ACCELERATOR_BATCH = 8
"""Default maximum batch size on a GPU."""


@dataclass(frozen=True, slots=True)
class Parallelism:
    """The degrees of parallelism.

    Attributes:
        calls: Concurrent calls of the detector.
        images: Maximum number of images in a batch.
        threads: Threads of an operator on the CPU; 0 for one per core.
    """

    calls: int
    images: int
    threads: int


def parallelism(options: RuntimeOptions) -> Parallelism:
    """Return the parallelism of the options. Defaults maximize the throughput.

    On a CPU the default is one image per core. Two cores took 23 ms per image with two calls of one
    thread, and 28 ms or more with one call of two threads. Batches save nothing there. A GPU needs
    batches. ONNX Runtime's installed providers determine the one in use, without a session.

    Raises:
        ConfigurationError: A provider is unknown, or none of them is installed.
    """
    # Not at the top: every worker that finds this plugin would then import NumPy.
    from retinue_onnx.session import usable_providers

    if usable_providers(options.providers)[0] != CPU:
        return Parallelism(
            options.max_concurrency or 1,
            options.max_batch_size or ACCELERATOR_BATCH,
            options.threads,
        )
    cores = usable_cores()
    calls = options.max_concurrency or min(cores, MAX_CALLS)
    return Parallelism(
        calls, options.max_batch_size or 1, options.threads or max(1, cores // calls)
    )
