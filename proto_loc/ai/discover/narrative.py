"""Lets a model summarize a discovery, and checks every figure that it writes."""

from proto_loc.ai import llm
from proto_loc.ai.discover.facts import Piece, check
from proto_loc.ai.discover.finding import Discovery

ASK = """\
You are given what was found in an analytics warehouse. Tell a reader in at most 200 words what
deserves attention, and what may be behind it; say where you only suppose. Write plain text in short
paragraphs, no lists, no headings. Every figure must be one of those given, and be followed by its
name in brackets, as in: it rose by 12.3 % [f4]. Write figures in digits. Compute none yourself, and
name no other."""


def narrative(discovery: Discovery) -> list[Piece]:
    """Get a model's summary, split at its figures, each of which is checked.

    Raises:
        LocError: no model is set, or it cannot be reached.
    """
    llm.announce("The figures of the report, values of dimensions among them,")
    lines = [
        f"Version {discovery.version.id}, origin of the data: {discovery.origin}.",
        "Findings:",
    ]
    lines += [f"- {finding.referenced()}" for finding in discovery.findings]
    lines.append("All figures:")
    lines += [f"[{fact.id}] {fact.what}: {fact.shown}" for fact in discovery.facts]
    answer = llm.complete(
        [{"role": "system", "content": ASK}, {"role": "user", "content": "\n".join(lines)}]
    )
    return check(answer.strip(), discovery.facts)
