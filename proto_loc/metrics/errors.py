"""The error of a definition that cannot be served."""

from proto_loc.errors import LocError


class MetricError(LocError):
    """A definition is not supported or contradicts another one; the message names its file."""
