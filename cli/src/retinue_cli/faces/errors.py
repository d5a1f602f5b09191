"""What can go wrong with people's faces."""


class FacesError(RuntimeError):
    """It was refused, or the service does not answer; the message says what to do."""


class NoSuchCollectionError(FacesError):
    """The collection does not exist in this region."""
