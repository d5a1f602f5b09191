"""The execution providers of ONNX Runtime that a detector's options ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from retinue_sdk import ConfigurationError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

DEFAULT_PROVIDERS = (CUDA, CPU)

ProviderOptions = Mapping[str, Mapping[str, str]]
"""ONNX Runtime's options of execution providers, by the providers' names."""


@dataclass(frozen=True, slots=True)
class Execution:
    """Execution providers and their options.

    Attributes:
        providers: In order of preference.
        options: The providers' options.
        asked_by: The name of the option that requires the first provider; ``None`` if another one
            may take its place.
        is_serial: Whether a network must be called once at a time.
    """

    providers: tuple[str, ...] = DEFAULT_PROVIDERS
    options: ProviderOptions = field(default_factory=dict)
    asked_by: str | None = None
    is_serial: bool = False

    @property
    def device_id(self) -> int:
        """Return the number of the first provider's device."""
        return int(self.options.get(self.providers[0], {}).get("device_id", "0"))

    def check(self, provider: str) -> None:
        """Check that a session got the provider that was asked for.

        Raises:
            ConfigurationError: It got another one.
        """
        wanted = self.providers[0]
        if self.asked_by is not None and provider != wanted:
            raise ConfigurationError(
                f"option {self.asked_by}: {wanted} was asked for, and ONNX Runtime used "
                f"{provider}; its log has the reason, such as a missing driver or library, or "
                "onnxruntime instead of onnxruntime-gpu. Leave the option out to accept that"
            )


ON_CPU = Execution((CPU,))
