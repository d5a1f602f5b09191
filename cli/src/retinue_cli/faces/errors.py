"""Errors of face collections."""


class FacesError(RuntimeError):
    """A request was refused, or the service doesn't answer. The message has the remedy."""


class NoSuchCollectionError(FacesError):
    """The collection does not exist in this region."""
