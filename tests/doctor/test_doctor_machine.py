"""Doctor on the machine: memory, limits, clock, umask, locale, disks, Windows."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from troubles import in_shell, is_well, namespace, only

from proto_loc import warehouse

BARE = {"PYTHONDONTWRITEBYTECODE": "1"}
"""For a shell with an odd umask, which would also be that of the bytecode files."""


@pytest.mark.trouble(
    "memory", "A service or a build ends by itself, with exit code 137 or `Killed`"
)
@pytest.mark.parametrize("available, status", [(2_000_000, "warn"), (100_000, "fail")])
def test_little_memory(data, tmp_path, available: int, status: str):
    """The file is as a container manager mounts it."""
    lines = {"MemTotal": 4_000_000, "MemFree": 50_000, "MemAvailable": available}
    lines |= {name: 0 for name in ("Buffers", "Cached", "SwapTotal", "SwapFree")}
    file = tmp_path / "meminfo"
    file.write_text("".join(f"{name}: {number} kB\n" for name, number in lines.items()))
    finding = in_shell("memory", f"mount --bind '{file}' /proc/meminfo", within=namespace())
    assert finding.status == status
    assert finding.what.startswith(f"{available / 2**20:.1f} GiB of memory are available")


@pytest.mark.trouble(
    "memory", "A service or a build ends by itself, with exit code 137 or `Killed`"
)
def test_little_memory_in_a_container_of_a_large_machine(data):
    script = """
set -e
group=$(sed -n 's/^0:://p' /proc/self/cgroup)
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup$group"
echo 1073741824 >"/sys/fs/cgroup$group/memory.max"
echo 805306368 >"/sys/fs/cgroup$group/memory.current"
"""
    finding = in_shell("memory", script, within=namespace())
    assert finding.status == "fail" and finding.what == "0.2 GiB of memory are available."


@pytest.mark.parametrize(
    "command, what",
    [
        pytest.param(
            "ulimit -n 200",
            "may open 200 files",
            marks=pytest.mark.trouble(
                "limits", "A service or a build stops with `Too many open files`"
            ),
        ),
        pytest.param(
            "ulimit -v 8388608",
            "may address 8.0 GiB",
            marks=pytest.mark.trouble(
                "limits", "Cube does not start: out of memory, though there is enough"
            ),
        ),
        pytest.param(
            "ulimit -f 2048",
            "may have 1 MiB",
            marks=pytest.mark.trouble(
                "limits", "A load or a publish ends with `File too large` or exit code 153"
            ),
        ),
        ("ulimit -c 0", "The limits of this shell let the services work"),
    ],
)
def test_limits_of_a_shell(data, command: str, what: str):
    finding = in_shell("limits", command)
    assert what in finding.what and (finding.fix or finding.status == "ok")


@pytest.mark.trouble(
    "clock", "Ages are negative, schedules do not run, or certificates are not yet valid"
)
def test_a_clock_that_was_set_back(data):
    """A version is published by a clock that is a day ahead."""
    assert is_well("clock")
    with warehouse.write("prod", who="test") as session:
        ahead = datetime.now(UTC) + timedelta(days=1)
        session.published_at = ahead.isoformat(timespec="milliseconds")
    finding = only("clock")
    assert "and version 1 of prod was published later." in finding.what
    assert f"{ahead:%Y-%m-%d %H:%M} UTC" in finding.why


@pytest.mark.trouble("clock", "Times are some hours off")
def test_a_time_zone_that_does_not_exist(data, monkeypatch):
    for zone in ("America/St_Johns", "CET-1CEST,M3.5.0,M10.5.0/3", "UTC", ":Asia/Kathmandu"):
        monkeypatch.setenv("TZ", zone)
        assert is_well("clock"), zone
    monkeypatch.setenv("TZ", "Europe/Berlinn")
    finding = only("clock")
    assert finding.status == "warn" and finding.what == "TZ=Europe/Berlinn is no time zone."


@pytest.mark.parametrize(
    "mask, status",
    [
        pytest.param(
            *("0700", "fail"),
            marks=pytest.mark.trouble(
                "umask", "Files that were just written cannot be read: permission denied"
            ),
        ),
        pytest.param(
            *("0000", "warn"),
            marks=pytest.mark.trouble(
                "umask", "Other users of the machine can change files of the clone"
            ),
        ),
        ("0002", "ok"),
        ("0077", "ok"),
    ],
)
def test_umask(data, mask: str, status: str):
    finding = in_shell("umask", f"umask {mask}", **BARE)
    assert finding.status == status and f"The umask is {mask}" in finding.what


@pytest.mark.trouble(
    "encoding", "Letters such as ä or é are shown as two others, or a file cannot be decoded"
)
def test_a_locale_without_utf_8(data, tmp_path):
    if not shutil.which("localedef") or not Path("/usr/share/i18n/charmaps").is_dir():
        pytest.skip("no locale can be made: apt-get install locales")
    name = "en_US.ISO-8859-1"
    subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", tmp_path / name],
        check=True,
        capture_output=True,
    )
    finding = in_shell("encoding", LOCPATH=str(tmp_path), LC_ALL=name)
    assert finding.status == "fail" and finding.what == "Text files are read as ISO-8859-1."
    assert in_shell("encoding", LC_ALL="POSIX").status == "ok"


@pytest.mark.trouble("folders", "Everything that writes says: read-only file system")
def test_a_file_system_that_is_read_only(data, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs tmpfs '{disk}' && mount -o remount,ro '{disk}'"
    finding = in_shell("folders", script, within=namespace(), LOC_DATA=f"{disk}/data")
    assert finding.status == "fail"
    assert finding.what == f"{disk}/data is on a file system that is read-only."


@pytest.mark.trouble("space", "Set-up, a load or a publish stops for want of space")
def test_a_disk_that_is_nearly_full(data, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size=16m tmpfs '{disk}'"
    finding = in_shell("space", script, within=namespace(), LOC_DATA=f"{disk}/data")
    assert finding.status == "fail" and finding.what == f"0.0 GiB are free at {disk}."


@pytest.mark.trouble("space", "No space is left on a disk, although df shows some")
def test_a_disk_with_too_many_small_files(data, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o nr_inodes=50 tmpfs '{disk}'"
    finding = in_shell("space", script, within=namespace(), LOC_DATA=f"{disk}/data")
    assert finding.status == "warn" and finding.what == f"49 more files can be made at {disk}."


@pytest.mark.trouble("disk", "After a restart of the machine, all data is gone")
@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_data_in_memory(data, tmp_path, kind: str):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t {kind} {kind} '{disk}'"
    finding = in_shell("disk", script, within=namespace(), LOC_DATA=f"{disk}/data")
    assert finding.status == "warn" and finding.what == f"The data, {disk}/data, is in memory" + (
        f" ({kind})."
    )


def kernel(folder: Path, release: str) -> str:
    """The shell command that makes the kernel's release another one."""
    file = folder / "osrelease"
    file.write_text(f"{release}\n")
    return f"mount --bind '{file}' /proc/sys/kernel/osrelease"


@pytest.mark.trouble("windows", "In WSL, locks, sandboxes or services fail in strange ways")
def test_the_first_version_of_wsl(data, tmp_path):
    script = kernel(tmp_path, "4.4.0-19041-Microsoft")
    finding = in_shell("windows", script, within=namespace())
    assert finding.status == "fail" and "wsl --set-version" in finding.fix


@pytest.mark.trouble("windows", "In WSL, everything is slow, or secrets are not private")
def test_a_drive_of_windows_in_wsl(data, tmp_path):
    script = kernel(tmp_path, "5.15.153.1-microsoft-standard-WSL2")
    assert in_shell("windows", script, within=namespace()).status == "ok"
    finding = in_shell("windows", script, within=namespace(), LOC_DATA="/mnt/c/Users/a b/data")
    assert finding.status == "fail"
    assert finding.what == "/mnt/c/Users/a b/data is on a drive of Windows."
