"""Options that choose labels, of images and of videos."""

from typing import Annotated

from pydantic import Field

from retinue_rekognition.options import ServiceOptions

Names = Annotated[tuple[str, ...], Field(max_length=100)]


class LabelFilters(ServiceOptions):
    """The labels to report."""

    label_inclusion_filters: Names = ()
    """The only labels to report; see AWS's list of labels."""

    label_exclusion_filters: Names = ()
    """Labels not to report."""

    label_category_inclusion_filters: Names = ()
    """The only categories of labels to report."""

    label_category_exclusion_filters: Names = ()
    """Categories of labels not to report."""

    def general_labels(self) -> dict[str, list[str]]:
        """Return the settings of general labels, without those that aren't set."""
        filters = {
            "LabelInclusionFilters": self.label_inclusion_filters,
            "LabelExclusionFilters": self.label_exclusion_filters,
            "LabelCategoryInclusionFilters": self.label_category_inclusion_filters,
            "LabelCategoryExclusionFilters": self.label_category_exclusion_filters,
        }
        return {name: list(names) for name, names in filters.items() if names}
