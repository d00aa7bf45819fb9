"""Limits the number of files in a sandbox's folders.

Usage: ``python inodes.py PID NUMBER FOLDER...``. An empty file adds nothing to the size of a tmpfs,
but takes a kilobyte of kernel memory, and bubblewrap does not limit the number of files. This
program runs outside of the sandbox. It enters the sandbox's user namespace, whose owner may remount
the folders with a limit. It has one thread, because a process with several threads cannot enter a
user namespace.
"""

import ctypes
import fcntl
import os
import sys

NS_GET_USERNS = 0xB701
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_NOSUID, MS_NODEV, MS_REMOUNT = 2, 4, 32


def main(pid: str, number: str, *folders: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments) -> None:
        if getattr(libc, name)(*arguments):
            sys.exit(f"{name}: {os.strerror(ctypes.get_errno())}")

    mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    call("setns", fcntl.ioctl(mounts, NS_GET_USERNS), CLONE_NEWUSER)
    call("setns", mounts, CLONE_NEWNS)
    flags, options = MS_REMOUNT | MS_NOSUID | MS_NODEV, f"nr_inodes={number}".encode()
    for folder in folders:
        call("mount", b"tmpfs", os.fsencode(folder), None, ctypes.c_ulong(flags), options)


if __name__ == "__main__":
    main(*sys.argv[1:])
