"""Builds the bubblewrap command line of the sandbox in which a model's program runs."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path

from proto_loc.ai.chatting import seccomp
from proto_loc.settings import environment_folder

PYTHON = environment_folder("notebooks") / "bin/python"
"""The interpreter inside: that of the environment with pandas and matplotlib."""

FOLDERS = ("/box", "/tmp")
"""The writable folders inside; both are in memory."""

APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
"""The kernel's file that says 1 if AppArmor refuses user namespaces to programs without a profile.

Ubuntu has this from 23.10 on.
"""

_HERE = Path(__file__).parent
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/box",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@cache
def unavailable() -> str:
    """Say in a sentence why this machine cannot run the sandbox; empty if it can.

    Each process tries it once.
    """
    if not PYTHON.exists():
        return "The environment notebooks is not installed (./loc setup notebooks)."
    if not shutil.which("bwrap"):
        if sys.platform != "linux":
            return "bubblewrap runs on Linux only."
        return "bubblewrap is not installed (Debian and Ubuntu: apt-get install bubblewrap)."
    if seccomp.machine() is None:
        return f"There is no system call filter for this machine, {os.uname().machine}."
    with Command(1 << 20, 10) as box:
        child = subprocess.Popen(
            [*box.command, PYTHON, "-I", "-S", "-c", "print(6 * 7, flush=True); input()"],
            env={},
            pass_fds=box.fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        late = threading.Timer(60, child.kill)
        late.start()
        try:
            if child.stdout.readline() == "42\n":
                return box.bound()
        finally:
            late.cancel()
            _, message = child.communicate("\n")
    message = (message.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    return f"bubblewrap does not run here ({message}). It needs user namespaces. {remedy()}"


def remedy() -> str:
    """Say what lets bubblewrap make user namespaces on this machine."""
    try:
        refused = APPARMOR.read_text().strip() == "1"
    except OSError:
        refused = False
    if not refused:
        return "A container has to allow them (docs/ai.md); `loc ask` does without."
    target = "/etc/apparmor.d/loc-bwrap"
    profile = shlex.quote(str(_HERE / "apparmor.profile"))
    return (
        "This machine's AppArmor refuses them; a profile allows them:"
        f" sudo cp {profile} {target} && sudo apparmor_parser --replace {target}"
    )


class Command:
    """Context manager with ``command``, to put before a program, and ``fds``, which it inherits.

    Args:
        disk: bytes of each of the two writable folders.
        inodes: number of files and folders in each of them, once :meth:`bound` has been called.
    """

    def __init__(self, disk: int, inodes: int) -> None:
        self.disk, self.inodes, self.files = disk, inodes, []

    def __enter__(self) -> "Command":
        filter_, self.info = self._file(seccomp.program()), self._file(b"")
        arguments = self._file(b"\0".join(map(os.fsencode, self._box())) + b"\0")
        # The arguments are in a file too, because a command line can be read from inside.
        self.command = [shutil.which("bwrap"), "--args", str(arguments), "--seccomp", str(filter_)]
        self.command += ["--info-fd", str(self.info), "--"]
        self.fds = (filter_, arguments, self.info)
        return self

    def bound(self) -> str:
        """Limit the number of files; call it before the model's part of the program runs.

        Returns:
            A sentence that says why this is not possible here; empty on success.
        """
        child = json.loads(os.pread(self.info, 4096, 0))["child-pid"]
        program = [sys.executable, "-I", "-S", _HERE / "inodes.py"]
        command = [*program, str(child), str(self.inodes), *FOLDERS]
        done = subprocess.run(command, env={}, capture_output=True, text=True)
        if not done.returncode:
            return ""
        message = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return f"The number of files in a box cannot be bounded on this machine ({message})."

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.close()

    def _file(self, content: bytes) -> int:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # __exit__ closes it
        self.files.append(file)
        file.write(content)
        file.seek(0)
        return file.fileno()

    def _box(self) -> list[str]:
        box = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"]
        box += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv"]
        box += ["--cap-drop", "ALL"]
        box += ["--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
        # These come first, because the clone itself may be below /tmp.
        box += ["--proc", "/proc", "--dev", "/dev"]
        for folder in FOLDERS:
            box += ["--size", str(self.disk), "--tmpfs", folder]
        for path in read_only(PYTHON):
            target = os.path.realpath(path)
            if os.path.islink(path) and path.count("/") == 1 and target.startswith("/usr/"):
                box += ["--symlink", target.lstrip("/"), path]  # /lib of a merged /usr
            else:
                box += ["--ro-bind", path, path]
        for file in (_HERE / "sandbox_child.py", _HERE.parent / "values.py"):
            box += ["--ro-bind", str(file), f"/program/{file.name}"]
        # Where the user is root, the program could write to /proc/sys without any capability, and
        # set kernel.core_pattern, a command that the kernel runs outside.
        box += ["--remount-ro", "/proc"]
        # bubblewrap's own root and /dev are in memory, without a limit.
        box += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/box"]
        for name, value in _ENVIRONMENT.items():
            box += ["--setenv", name, value]
        return box


def read_only(python: Path) -> list[str]:
    """The paths of this machine that are visible inside: system libraries, Python, its packages.

    Args:
        python: the interpreter of an environment.
    """
    paths = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"]
    real = os.path.realpath(python)
    # Show only the link to Python and not its folder, which may be ~/.local/bin.
    for path in (
        os.readlink(python) if python.is_symlink() else "",
        real,
        str(Path(real).parent.parent / "lib"),
    ):
        paths.append("/nix/store" if path.startswith("/nix/store/") else path)
    paths.append(str(python.parent.parent))
    return [path for path in dict.fromkeys(paths) if os.path.isabs(path) and os.path.exists(path)]
