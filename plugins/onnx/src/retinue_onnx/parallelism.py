"""How a machine's cores are divided among the images of a detector."""

from dataclasses import dataclass

from retinue_sdk.cores import usable_cores

from retinue_onnx.options import OnnxOptions

CPU = "CPUExecutionProvider"

MAX_CALLS = 8
"""Most calls at once where the options leave it open: as many images as a worker prefetches, unless
it is told to hold more."""

ACCELERATOR_BATCH = 8
"""Most images that go through the network together on a GPU, where the options leave it open."""


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How much is done at the same time.

    Attributes:
        calls: Calls of the detector.
        images: Images that go through the network together, at most.
        threads: Threads of an operator on the CPU; 0 for one a core.
    """

    calls: int
    images: int
    threads: int


def parallelism(options: OnnxOptions) -> Parallelism:
    """Return what the options say, and for what they leave open what gives most images a second.

    On a CPU that is an image for each core: two cores took 23 ms an image with two calls of one
    thread, and 28 ms or more with one call of two threads, of which one waits while an image is
    decoded or an operator has nothing to divide. Batches save nothing there. A GPU wants batches.
    Which of the two it is, ONNX Runtime's installed providers say: no session is made yet.

    Raises:
        ConfigurationError: A provider is unknown, or none of them is installed.
    """
    # Not at the top: it imports NumPy, which every worker would then hold that finds this plugin.
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
