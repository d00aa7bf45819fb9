"""``python -m pipelines.daemon``: Dagster's daemon, which starts queued runs, evaluates sensors and schedules, and
watches runs."""

import fcntl

from pipelines import instance


def main() -> None:
    """Run until a signal ends it; :func:`pipelines.instance.daemon_ready` is there once its loops have started."""
    instance.daemon_ready().unlink(missing_ok=True)
    home = instance.begin()
    from dagster import DagsterInstance
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._daemon.controller import daemon_controller_from_instance
    from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

    setup_interrupt_handlers()
    target = WorkspaceFileTarget([str(home / "workspace.yaml")])
    try:
        with (
            capture_interrupts(),
            DagsterInstance.get() as dagster,
            daemon_controller_from_instance(dagster, target, log_level="warning") as controller,
        ):
            new = instance.daemon_ready().with_suffix(".new")
            ready = new.open("w")
            fcntl.flock(ready, fcntl.LOCK_EX)  # until this process ends, however it does
            new.replace(instance.daemon_ready())
            controller.check_daemon_loop()
    except KeyboardInterrupt:
        pass
    finally:
        instance.daemon_ready().unlink(missing_ok=True)


if __name__ == "__main__":
    main()
