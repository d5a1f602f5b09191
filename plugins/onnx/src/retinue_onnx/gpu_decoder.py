"""Decode JPEGs on a GPU, with NVIDIA's nvImageCodec."""

from threading import local
from typing import Any

import numpy as np
from retinue_sdk import ConfigurationError, Image

JPEG = b"\xff\xd8\xff"
"""The beginning of a JPEG file."""


class GpuDecoder:
    """Decodes JPEGs with nvJPEG. Thread-safe: each thread has a decoder of its own.

    Args:
        device_id: The number of the GPU.

    Raises:
        ConfigurationError: nvImageCodec isn't installed, or there is no GPU.
    """

    def __init__(self, device_id: int = 0) -> None:
        try:
            from nvidia import nvimgcodec  # type: ignore[import-not-found]
        except ImportError as error:
            raise ConfigurationError(
                "option decoder: nvjpeg needs nvImageCodec; install "
                f"nvidia-nvimgcodec-cu12[nvjpeg], or leave the option out ({error})"
            ) from error
        self._codec: Any = nvimgcodec
        self._device_id = device_id
        self._of_thread = local()
        try:
            self._decoder()
        except RuntimeError as error:
            raise ConfigurationError(
                f"option decoder: nvjpeg can't use a GPU ({error}); leave the option out to decode "
                "on the CPU"
            ) from error

    def decoded(self, image: Image) -> Image:
        """Return the image with its pixels, upright and RGB; unchanged if nvJPEG can't decode it.

        Raises:
            DetectorError: The image can't be fetched, or is too large.
        """
        if not image.has_file or not image.read().startswith(JPEG):
            return image
        image.measure()  # checks its size before the memory is allocated
        stream = self._codec.CodeStream(image.read())
        if stream.num_channels not in (1, 3):  # CMYK, in which inverted colours are common
            return image
        found = self._decoder().decode(stream)
        if found is None:  # it is truncated, or has an unusual format
            return image
        return Image.from_pixels(np.asarray(found.cpu()), image.reference)

    def _decoder(self) -> Any:
        decoder = getattr(self._of_thread, "decoder", None)
        if decoder is None:
            decoder = self._codec.Decoder(device_id=self._device_id, max_num_cpu_threads=1)
            self._of_thread.decoder = decoder
        return decoder
