"""The configurations with which a worker records: detector, version, fingerprint."""

from collections.abc import Mapping, Sequence

from retinue_history import DetectorConfiguration
from retinue_sdk import AnyDetector
from retinue_sdk.plugins.manager import Plugins, plugin_errors
from retinue_workers.detectors.filters import Filters
from retinue_workers.settings.video import VideoSampling


def detector_configurations(
    plugins: Plugins, detectors: Sequence[AnyDetector]
) -> list[DetectorConfiguration]:
    """Return the configurations with which a worker records. Plugins' filters change them.

    Raises:
        ConfigurationError: A detector can't tell its fingerprint.
    """
    filters = Filters(plugins.filters())
    keys = []
    for each in detectors:
        with plugin_errors(each):
            fingerprint = filters.fingerprint(each.fingerprint())
        keys.append(DetectorConfiguration(each.name, each.version, fingerprint))
    return keys


def video_configurations(
    keys: Sequence[DetectorConfiguration], videos: Mapping[str, VideoSampling]
) -> list[DetectorConfiguration]:
    """Return the configuration of each detector of videos, with the fingerprint for videos."""
    return [
        key._replace(fingerprint=videos[key.detector].fingerprint(key.fingerprint))
        for key in keys
        if key.detector in videos
    ]


def detector_columns(detectors: Sequence[DetectorConfiguration]) -> dict[str, list[str]]:
    """Return configurations as one array per column, for SQL."""
    return {
        "detector": [key.detector for key in detectors],
        "version": [key.detector_version for key in detectors],
        "fingerprint": [key.fingerprint for key in detectors],
    }
