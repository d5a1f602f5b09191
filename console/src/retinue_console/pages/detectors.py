"""Detectors: versions, drift, and the agreement of two of them."""

from dataclasses import dataclass

from retinue_console.page import Call, Page, ParameterError, Parameters
from retinue_console.queries.detectors import (
    AgreementCell,
    Agreements,
    DetectorVersion,
    Drifts,
    FoundBy,
    list_agreement,
    list_drift,
    list_versions,
)
from retinue_console.queries.filters import Word


class DetectorParameters(Parameters):
    """The parameters of the page of detectors."""

    detector: Word | None = None
    """Only the drift of this detector."""


class AgreementParameters(Parameters):
    """The parameters of the comparison of detectors."""

    label: Word | None = None
    """Only this label, in upper or lower case."""

    detector_a: Word | None = None
    """One detector of a cell whose images to show."""

    detector_b: Word | None = None
    """The other detector of the cell."""

    found_by: FoundBy | None = None
    """The detectors that found the label in the cell's images: both, only a, or only b."""


@dataclass(frozen=True, slots=True)
class DetectorsPage:
    """The data of the page.

    Attributes:
        versions: All versions, the last used first.
        drift: The labels whose share of the detections changed most.
    """

    versions: tuple[DetectorVersion, ...]
    drift: Drifts


def detectors(call: Call[DetectorParameters]) -> Page[DetectorsPage]:
    """Show the versions of detectors, and the drift of their findings."""
    with call.database.read() as connection:
        versions = list_versions(connection)
        drift = list_drift(connection, call.parameters.detector)
    data = DetectorsPage(tuple(versions), drift)
    return Page("detectors.html", "Detectors", data, rows=drift.labels)


def agreement(call: Call[AgreementParameters]) -> Page[Agreements]:
    """Show how far detectors agree."""
    given = call.parameters
    named = (given.detector_a, given.detector_b, given.label, given.found_by)
    if any(named[:2] + named[3:]) and not all(named):
        raise ParameterError("Give detector_a, detector_b, label and found_by together.")
    cell = None
    if given.detector_a and given.detector_b and given.label and given.found_by:
        cell = AgreementCell(given.detector_a, given.detector_b, given.label, given.found_by)
    with call.database.read() as connection:
        compared = list_agreement(connection, given.label, cell)
    return Page("agreement.html", "Agreement", compared, rows=compared.agreement)
