"""Explains a failed fetch to a person (in dlt's child)."""

from proto_loc.errors import SOURCES, of_source


def explain(error: BaseException, job: dict) -> dict:
    """Return the message about an error: its kind, what failed, why, and what to do next."""
    causes = list(_causes(error))
    cause = next((c for c in causes if type(c).__module__.split(".")[0] != "dlt"), causes[-1])
    message = {
        "kind": "fetch",
        "what": f"{job['source']} could not be fetched.",
        "why": _sentence(cause),
        "fix": "Mend that, then run it again: it starts where the last complete fetch ended.",
    }
    response = next((c.response for c in causes if getattr(c, "response", None) is not None), None)
    network = any(type(c).__module__.split(".")[0] in NETWORK for c in causes)
    if response is not None and response.status_code in (401, 403):
        names = ", ".join(f".run/secrets/{name}" for name in job["secrets"]) or "the declaration"
        message["fix"] = (
            "The server refuses the credentials, or they have expired: put valid ones into"
            f" {names}, then run it again."
        )
    elif not network and (own := of_source(error, SOURCES)):
        message |= {"kind": "source", "what": own.what, "why": own.why, "fix": own.fix}
    elif type(cause).__name__ == "SamePage":
        message["fix"] = (
            "The API does not turn its pages as declared: set the endpoint's `paginator` in"
            f" pipelines/{job['source']}/ (docs/rest.md shows how)."
        )
    elif type(cause).__name__ == "NoList":
        message |= {
            "what": f"{job['source']} cannot be inspected.",
            "why": f"{str(cause)[:1].upper()}{str(cause)[1:]}.",
            "fix": "Name another one.",
        }
    elif type(cause).__name__ == "NoSuchTableError":
        message["why"] = f"The database has no table {cause}."
        message["fix"] = f"Mend its name in pipelines/{job['source']}/."
    return message


NETWORK = ("requests", "urllib3", "sqlalchemy", "psycopg2", "pymysql", "sqlite3")


def _causes(error: BaseException):
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())[:600]
    return f"{type(error).__name__}: {text}".rstrip(":. ") + "."
