"""Runs Dagster's daemon, which starts queued runs, evaluates sensors and watches runs."""

from proto_loc.dagster import instance
from proto_loc.files import try_lock


def main() -> None:
    """Run until a signal ends the process.

    The file :func:`proto_loc.dagster.instance.daemon_ready` exists once its loops have started.
    """
    instance.daemon_ready().unlink(missing_ok=True)
    home = instance.begin()
    from dagster import DagsterInstance

    from proto_loc.dagster.private import (
        WorkspaceFileTarget,
        capture_interrupts,
        daemon_controller_from_instance,
        setup_interrupt_handlers,
    )

    setup_interrupt_handlers()
    target = WorkspaceFileTarget([str(home / "workspace.yaml")])
    try:
        with (
            capture_interrupts(),
            DagsterInstance.get() as dagster,
            daemon_controller_from_instance(
                dagster, target, log_level="warning", log_format=instance.log_format()
            ) as controller,
        ):
            new = instance.daemon_ready().with_suffix(".new")
            ready = new.open("w")
            try_lock(ready)  # held until this process ends, in whatever way
            new.replace(instance.daemon_ready())
            controller.check_daemon_loop()
    except KeyboardInterrupt:
        pass
    finally:
        instance.daemon_ready().unlink(missing_ok=True)


if __name__ == "__main__":
    main()
