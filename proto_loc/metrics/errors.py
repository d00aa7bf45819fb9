"""The error for a metric definition that is not supported."""

from proto_loc.errors import LocError


class MetricError(LocError):
    """A definition is not supported or contradicts another one; the message names its file."""
