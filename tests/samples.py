"""Published samples for suites that need a platform with data."""

from pipelines.refresh import load_and_refresh
from pipelines.sources.taxi import load as taxi


def publish_sample(rows: int) -> None:
    """Load so many synthetic trips in this process, build, audit and publish, in the environment's data folder."""
    load_and_refresh(
        lambda report: taxi.load_sample(rows, who="test", report=report), who="test", report=lambda *_: None
    )
