"""Entry point that ``loc`` starts in the environment ``notebooks``: ``ask``, ``mcp``, ...

``python -m proto_loc.ai COMMAND OPTIONS``, with the options as a JSON object.
"""

import gc
import json
import sys
from pathlib import Path

from proto_loc.errors import LocError


def main() -> int:
    """Run one command; print a failure in the form that `loc` uses."""
    options = json.loads(sys.argv[2])
    try:
        return COMMANDS[sys.argv[1]](options)
    except LocError as error:
        if options.get("debug"):
            raise
        print(error.said(), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:  # the user stopped it: nothing to report
        return 130
    except Exception as error:
        if options.get("debug"):
            raise
        defect = LocError(
            f"{type(error).__name__}: {error}",
            "This is a defect of proto_loc.",
            "Run it again with --debug (./loc --debug ask ...) and report the traceback.",
        )
        print(defect.said(), file=sys.stderr)
        return 1


def _ask(options: dict) -> int:
    from proto_loc.ai.asking import chart, printing
    from proto_loc.ai.asking.queries import ask
    from proto_loc.cube.client import ALL_ROWS

    gc.disable()  # this process ends soon, and LiteLLM's many modules make a collection slow
    file = Path(options["chart"]) if options["chart"] else None
    if file:
        chart.check_name(file)  # before a model is asked
    answer = ask(options["question"], ALL_ROWS if options["claims"] is None else options["claims"])
    printing.answer(answer, options["format"])
    if file:
        chart.save(answer, file)
        print(f"chart: {file}", file=sys.stderr)
    return 0


def _discover(options: dict) -> int:
    from proto_loc.ai.discover import command

    return command.run(options)


def _mcp(options: dict) -> int:
    from proto_loc.ai.mcp import server

    server.serve(options["http"], options["claims"])
    return 0


def _evaluate(options: dict) -> int:
    from proto_loc.ai.asking import evaluation, printing

    done = evaluation.evaluate(Path(options["file"]), report=printing.progress)
    printing.evaluation(done, options["format"])
    return 0 if done.accuracy >= options["minimum"] else 1


def _prove(options: dict) -> int:
    from proto_loc.ai.asking import proving

    print(json.dumps(proving.prove(options["questions"], options["evaluations"])))
    return 0


COMMANDS = {
    "ask": _ask,
    "evaluate": _evaluate,
    "mcp": _mcp,
    "discover": _discover,
    "prove": _prove,
}

if __name__ == "__main__":
    sys.exit(main())
