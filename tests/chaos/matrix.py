"""The table of faults: what is hit, and how.

A place is a service, the supervisor, a phase of a refresh, or a run of Dagster. ``ALWAYS`` names
the cases of every test run; the others run with ``--all``.
"""

from dataclasses import dataclass

SERVICES = (
    *("home", "dagster-code", "dagster-web", "dagster-daemon"),
    *("cube", "jupyter", "superset"),
)
OF_SERVICES = {
    "kill": "SIGKILL of the service",
    "kill loc exec": "SIGKILL of the process that started the service",
    "stop": "SIGSTOP of the service",
    "stop loc exec": "SIGSTOP of the process that started the service",
    "full": "SIGKILL of the service while the disk is full to the last byte",
}
OF_THE_SUPERVISOR = {name: OF_SERVICES[name] for name in ("kill", "stop", "full")}
PHASES = {
    "download": "rows are fetched by dlt, in a process of its own",
    "ingest": "a file is in the lake, and not in the catalogue",
    "dbt": "dbt builds, in a process of its own",
    "checkpoint": "prod is built and audited, and its log not yet in the file",
    "publish": "the file is finished, and its manifest not yet written",
    "swap": "the version has its place, and `current` leads to the last one",
    "provision": "Superset's objects are written",
}
OF_PHASES = {
    "kill": "SIGKILL of the writer",
    "stop": "SIGSTOP of the writer; a second one is told whom it waits for",
    "full": "the disk is full to the last byte from here on",
}
OF_DBT = {
    "kill dbt": "SIGKILL of dbt alone",
    "stop dbt": "SIGSTOP of dbt alone",
}
OF_RUNS = {
    "kill": "SIGKILL of the run's process while dbt builds",
    "kill dbt": "SIGKILL of dbt",
    "stop": "SIGSTOP of the run's process while dbt builds",
    "stop dbt": "SIGSTOP of dbt",
}


@dataclass(frozen=True)
class Case:
    place: str
    fault: str

    def __str__(self) -> str:
        return f"{self.place}: {self.fault}"


CASES = [
    *(Case(service, fault) for fault in OF_SERVICES for service in SERVICES),
    *(Case("supervisor", fault) for fault in OF_THE_SUPERVISOR),
    *(Case(phase, fault) for phase in PHASES for fault in OF_PHASES),
    *(Case("dbt", fault) for fault in OF_DBT),
    *(Case("run of Dagster", fault) for fault in OF_RUNS),
]
ALWAYS = {"dbt: stop dbt", "publish: full", "swap: kill", "cube: kill", "supervisor: full"}
