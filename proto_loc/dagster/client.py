"""GraphQL client of this platform's Dagster: launches and follows the job ``refresh``."""

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from proto_loc import files, services, warehouse
from proto_loc.credentials import secret
from proto_loc.dagster import instance
from proto_loc.dbt.fingerprints import project_hash
from proto_loc.errors import SOURCES, LocError, UsageError
from proto_loc.refresh.job import Refreshed, Report, loads_of
from proto_loc.refresh.request import Request
from proto_loc.settings import settings
from proto_loc.sources import Outcome, WouldReplace
from proto_loc.warehouse import lake
from proto_loc.warehouse.errors import explained, no_space
from proto_loc.web.gate import WHOSE, proof

T = TypeVar("T")
log = logging.getLogger("proto_loc.dagster")
POLL = 0.25
"""Seconds between two queries about a run."""
PATIENCE = 60.0
"""Seconds to wait for Dagster, as the supervisor may be restarting it."""
STARTING = 15.0
"""Seconds to wait for the code server, as it may be starting."""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
LAST = ("RunSuccessEvent", "RunFailureEvent", "RunCanceledEvent")
SELECTOR = {"repositoryLocationName": instance.LOCATION, "repositoryName": "__repository__"}

ENTRIES = (
    "label ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue } ... on"
    " FloatMetadataEntry { floatValue } ... on JsonMetadataEntry { jsonString }"
)
LOADED = """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
  ... on RepositoryLocation { repositories { pipelines { name tags { key value } } } }
  ... on PythonError { message stack } } } } } }"""
RELOAD = (
    "mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {"
    " __typename } }"
)
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on Error { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
FOLLOW = f"""query($run: ID!, $cursor: String) {{
  logsForRun(runId: $run, afterCursor: $cursor, limit: 1000) {{
  ... on EventConnection {{ cursor hasMore events {{ __typename
    ... on MessageEvent {{ message stepKey }}
    ... on EngineEvent {{ error {{ message stack }} metadataEntries {{ {ENTRIES} }} }}
    ... on MaterializationEvent {{ assetKey {{ path }} metadataEntries {{ {ENTRIES} }} }}
    ... on ExecutionStepFailureEvent {{ failureMetadata {{ metadataEntries {{ {ENTRIES} }} }} }} }}
        }} }}
  runOrError(runId: $run) {{ ... on Run {{ status tags {{ key value }} }} }} }}"""
LAUNCHED = """query($launch: String!) {
  runsOrError(filter: {tags: [{key: "launch", value: $launch}]}) {
  ... on Runs { results { runId status } } } }"""
RUNS = """query($limit: Int!) { runsOrError(limit: $limit) { ... on Runs { results {
  runId jobName status startTime endTime tags { key value } } } } }"""
END = """mutation($run: String!) {
  terminateRun(runId: $run, terminatePolicy: SAFE_TERMINATE) { __typename } }"""


class Away(LocError):
    """Dagster did not answer; it may be restarting."""


class Dagster:
    """The Dagster that serves this data folder."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def ask(self, query: str, **variables) -> dict:
        """Return the data of a GraphQL query, which is sent again while Dagster does not answer.

        Raises:
            LocError: Dagster did not answer within :data:`PATIENCE`, or refused the query.
        """
        return self._patiently(lambda: self._send(query, variables))

    @staticmethod
    def _patiently(work: Callable[[], T]) -> T:
        def say(state: RetryCallState) -> None:
            if state.attempt_number == 1:
                log.warning("Dagster does not answer: it is asked again for %g s", PATIENCE)

        patient = Retrying(
            retry=retry_if_exception_type(Away),
            stop=stop_after_delay(PATIENCE),
            wait=wait_fixed(1),
            before_sleep=say,
            reraise=True,
        )
        return patient(work)

    def _send(self, query: str, variables: dict) -> dict:
        where = f"Dagster on {self.http.base_url}"
        try:
            response = self.http.post("/graphql", json={"query": query, "variables": variables})
            answer = response.json() if "json" in response.headers.get("content-type", "") else {}
            if response.is_server_error and not answer:
                if full := _full():
                    raise full
                response.raise_for_status()  # its server is in trouble, and may come out of it
        except (httpx.HTTPError, ValueError) as error:
            raise Away(
                f"{where} does not answer.",
                f"{type(error).__name__}: {error}.",
                "It may have been ended: see `loc status` and `loc logs dagster-web`. With"
                " --direct, the command does without it.",
            ) from error
        # An answer with status 500 may have data, in which an error is a part of the answer.
        if "errors" in answer or "data" not in answer:
            errors = answer.get("errors") or [
                {"message": f"{response.status_code} {response.reason_phrase}."}
            ]
            fix = "See ./loc logs dagster-web, or run it with --direct."
            raise _full() or LocError(f"{where} refused a query.", errors[0]["message"], fix)
        return answer["data"]

    def ready(self) -> bool:
        """Whether Dagster has loaded the current project; reload it if it has not."""
        wanted, end = project_hash()[:12], time.monotonic() + STARTING
        if _mark(self._reached(end)) == wanted:
            return True
        self.ask(RELOAD, name=instance.LOCATION)
        return _mark(self._reached(end)) == wanted

    def _reached(self, end: float) -> dict:
        """The location, once the code server can be reached, or at ``end`` of the clock."""
        while (
            "Could not reach" in (location := self.location()).get("message", "")
            and time.monotonic() < end
        ):
            time.sleep(POLL)
        return location

    def location(self) -> dict:
        """The loaded code location, or the error of its load."""
        entries = self.ask(LOADED)["workspaceOrError"]["locationEntries"]
        return next((entry["locationOrLoadError"] or {} for entry in entries), {})

    def refresh(
        self, request: Request, *, who: str, report: Report, started=lambda url: None
    ) -> Refreshed:
        """Run the job ``refresh`` and wait for its end; an interrupt also ends the run.

        The result and the errors are those of :func:`proto_loc.refresh.job.load_and_refresh`.

        Args:
            started: called with the run's URL.
        """
        run = self._launch(request, who)
        url = f"{_address()}/runs/{run}"
        started(url)
        outcomes, seconds, failures, tags = [], {}, [], {}
        try:
            for event in self._follow(run, tags):
                about = _entries(event)
                if "progress" in about:
                    report(*json.loads(about["progress"]))
                elif event["__typename"] == "MaterializationEvent" and "outcomes" in about:
                    outcomes, seconds = json.loads(about["outcomes"]), {"load": about["seconds"]}
                elif event["__typename"] == "ExecutionStepFailureEvent":
                    failures.append(about)
                elif event.get("error"):
                    failures.append(_fault(event["error"]))
                elif event["__typename"] in LAST[1:]:
                    failures.append({"why": event["message"]})
        except LocError as error:  # the run may continue
            raise LocError(
                error.what, error.why, f"The run may go on: see {url}, or ./loc status."
            ) from error
        except BaseException:
            self._end(run)
            raise
        if tags["status"] != "SUCCESS":
            raise _failure(failures, url)
        built = tags.get("published") == "yes"
        prod = warehouse.store.find("prod", int(tags["prod version"]))
        if built:
            seconds |= prod.facts["seconds"] | {"publish": float(tags["publish seconds"])}
        loads = {load.load_id: load for load in lake.loads(active=False)}
        return Refreshed(
            prod, built, [_outcome(fields, loads) for fields in outcomes], loads_of(prod), seconds
        )

    def _launch(self, request: Request, who: str) -> str:
        load = {"files": list(request.files), "replace": request.replace, "source": request.source}
        if request.seed is not None:
            load["seed"] = request.seed
        if request.rows is not None:
            load["rows"] = request.rows
        config = {
            "ops": {"raw__loads": {"config": load}, "dbt": {"config": {"force": request.force}}}
        }
        launch = str(
            uuid4()
        )  # this tag finds a run whose answer was lost, so that no run is launched twice
        params = {
            "selector": {**SELECTOR, "pipelineName": "refresh"},
            "runConfigData": config,
            "executionMetadata": {
                "tags": [{"key": "who", "value": who}, {"key": "launch", "value": launch}]
            },
        }
        sent: list[Away] = []

        def send() -> dict:
            if sent and (run := self._launched(launch)):
                return {"run": {"runId": run}}
            if any(isinstance(away.__cause__, httpx.ReadTimeout) for away in sent):
                raise sent[-1]  # Dagster may still be launching the run
            try:
                return self._send(LAUNCH, {"params": params})["launchRun"]
            except Away as away:
                sent.append(away)
                raise

        answer = self._patiently(send)
        if "run" not in answer:
            why = answer.get("message") or "; ".join(
                error["message"] for error in answer.get("errors", [])
            )
            raise _full() or LocError(
                "Dagster did not launch the job refresh.", why, "Run the command with --direct."
            )
        return answer["run"]["runId"]

    def _launched(self, launch: str) -> str | None:
        """The id of the run with this launch tag, if there is one."""
        run = next(iter(self._send(LAUNCHED, {"launch": launch})["runsOrError"]["results"]), None)
        if (
            run and run["status"] == "NOT_STARTED"
        ):  # the web server made the run, but ended before it queued the run
            why = "Dagster ended while it launched it."
            raise Away(f"Run {run['runId']} is not queued.", why, "Run the command again.")
        return run["runId"] if run else None

    def _follow(self, run: str, tags: dict[str, str]) -> Iterator[dict]:
        """Yield the run's events until it ends; ``tags`` receives its tags and ``status``."""
        cursor, last, patience = None, False, time.monotonic() + STARTING
        while True:
            answer = self.ask(FOLLOW, run=run, cursor=cursor)
            logs = answer["logsForRun"]
            cursor = logs["cursor"] or cursor
            yield from logs["events"]
            tags |= _pairs(answer["runOrError"]["tags"]) | {
                "status": answer["runOrError"]["status"]
            }
            # The status may be newer or older than the events of the same answer.
            last = last or any(event["__typename"] in LAST for event in logs["events"])
            if tags["status"] in ENDED and (last or not logs["events"]):
                return
            if tags["status"] == "QUEUED" and time.monotonic() > patience:
                log.warning(
                    "the run still waits in Dagster's queue, for another run or for its daemon: see"
                    " `loc status`"
                )
                patience = float("inf")
            if not logs["hasMore"]:
                time.sleep(POLL)

    def _end(self, run: str) -> None:
        """Ask the run to end, and wait for it for up to 15 seconds."""
        self._send(END, {"run": run})
        tags: dict[str, str] = {}
        give_up = time.monotonic() + 15
        for _ in self._follow(run, tags):
            if time.monotonic() > give_up:
                return


def is_up(timeout: float = 2.0) -> bool:
    """Whether the Dagster of this data folder answers, and has a daemon that starts queued runs.

    Another Dagster on the port (of another clone, user or data folder) does not receive the token.
    """
    return _answers(timeout) and instance.daemon_lives()


def _answers(timeout: float) -> bool:
    """Whether the web server of this data folder's Dagster answers."""
    token, nonce, port = secret("dagster"), secrets.token_hex(16), settings().port("dagster")
    try:
        answer = httpx.get(
            f"{_address()}{WHOSE}", params={"nonce": nonce}, timeout=timeout, trust_env=False
        ).text
    except httpx.HTTPError:
        return False
    return answer.strip() == proof(token, nonce, port, str(settings().data))


def _connected(timeout: float) -> Dagster:
    token = {"authorization": f"Bearer {secret('dagster')}"}
    return Dagster(
        httpx.Client(base_url=_address(), headers=token, timeout=timeout, trust_env=False)
    )


def last_runs(limit: int, timeout: float = 5.0) -> list[dict] | None:
    """The newest runs as Dagster describes them, tags as a dictionary; None if it is not up.

    Raises:
        LocError: Dagster did not answer in time, or refused the query.
    """
    if not _answers(timeout):
        return None
    runs = _connected(timeout)._send(RUNS, {"limit": limit})["runsOrError"]["results"]
    return [run | {"tags": _pairs(run["tags"])} for run in runs]


def find() -> Dagster | None:
    """Connect to Dagster; None if it is not up, or cannot run the job of the current project."""
    if not is_up():
        return None
    # A reload of the code location parses the dbt project, so the time-out is long.
    dagster = _connected(60)
    if dagster.ready():
        return dagster
    fault = _fault(dagster.location())
    why = services.trouble("dagster-code") or fault.get("what", fault["why"])
    log.warning("Dagster cannot load the project's code, so this runs without it: %s", why)
    return None


def _full() -> LocError | None:
    """Return the error if Dagster cannot write to its home, which it reports in many ways."""
    if not instance.home().exists():
        return LocError(
            f"{instance.home()} is gone.",
            "It, or a folder that it is in, was renamed or deleted while Dagster runs.",
            "Put it back; or `loc down`, then `loc up` for a new one.",
        )
    if files.room(settings().data) >= files.FULL:
        return None
    try:
        with explained("What Dagster notes of its runs", instance.home()):
            raise no_space(instance.home())
    except LocError as full:
        return full


def _address() -> str:
    return f"http://127.0.0.1:{settings().port('dagster')}"


def _mark(location: dict) -> str | None:
    """The project hash of the loaded job; None if the location is not loaded."""
    jobs = [
        job for repository in location.get("repositories", []) for job in repository["pipelines"]
    ]
    return next(
        (_pairs(job["tags"]).get("project") for job in jobs if job["name"] == "refresh"), None
    )


def _pairs(tags: list[dict]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in tags}


def _entries(event: dict) -> dict:
    entries = (
        event.get("metadataEntries")
        or (event.get("failureMetadata") or {}).get("metadataEntries")
        or []
    )
    return {e["label"]: next((v for k, v in e.items() if k != "label"), None) for e in entries}


def _failure(failures: list[dict], url: str) -> LocError:
    """The error that the step raised, or else Dagster's message, with the run's URL."""
    about = next((found for found in failures if "what" in found), None)
    if about is None:
        why = (
            failures[0].get("why") if failures else ""
        ) or "Its process was ended, or the stack was."
        return LocError("The run did not end well.", why, f"See {url}")
    usage = UsageError if about.get("exit_code") == UsageError.exit_code else LocError
    kind = WouldReplace if about.get("kind") == WouldReplace.__name__ else usage
    return kind(
        about["what"], about.get("why", ""), f"{about.get('fix', '')} The run: {url}".strip()
    )


def _fault(error: dict) -> dict[str, str]:
    """Write Dagster's error in sentences, with file and line if a source's code raised it."""
    message = error.get("message") or "It does not say why."
    last = message.strip().splitlines()[-1]
    places = re.findall(r'File "(.+?)", line (\d+)', "".join([*error.get("stack", ()), message]))
    own = [f"{file}, line {line}" for file, line in places if Path(file).is_relative_to(SOURCES)]
    if not own:
        return {"why": last}
    return {
        "what": f"{own[-1]}: {last}",
        "why": "The source's own code failed.",
        "fix": "Mend that line.",
    }


def _outcome(fields: dict, loads: dict[int, lake.Load]) -> Outcome:
    known = {
        name: loads.get(fields[name]) if fields[name] else None for name in ("load", "replaced")
    }
    return Outcome(**{**fields, **known, "ignored": tuple(fields["ignored"])})
