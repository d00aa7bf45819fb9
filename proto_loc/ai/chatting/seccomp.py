"""The sandbox's filter of system calls: a classic BPF program for ``bwrap --seccomp``.

It allows one process with threads: no fork, socket, tracing or namespace, and no memory outside of
the address space. Calls that are not listed are allowed, because they reach only what bubblewrap
shows inside. The numbers are those of Linux's ``unistd.h`` for each machine.
"""

import errno
import platform
import struct

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); None where the machine has no such call
DENIED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),  # memory that the limit of the address space does not count
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "inotify_init": (253, None),  # each watch takes kernel memory that no process limit counts
    "inotify_init1": (294, 26),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "personality": (135, 92),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "execveat": (322, 281),
}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_CLONE_THREAD = 0x00010000
_FCNTL = (72, 25)
_LOCKS = (6, 7, 37, 38)
"""Commands of fcntl that lock a part of a file: each lock takes kernel memory, without limit."""

_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000


def machine() -> int | None:
    """The index of this machine in the values of :data:`DENIED`; None if it is not supported."""
    names = list(_AUDIT_ARCH)
    return names.index(platform.machine()) if platform.machine() in names else None


def program() -> bytes:
    """Build the filter for this machine: an array of ``struct sock_filter``.

    Raises:
        NotImplementedError: the machine is not supported.
    """
    at = machine()
    if at is None:
        raise NotImplementedError(platform.machine())
    lines: list[tuple[int, int, int, int]] = [  # (code, jump if true, jump if false, operand)
        (_LOAD, 0, 0, 4),  # seccomp_data.arch
        (_EQUAL, 1, 0, _AUDIT_ARCH[platform.machine()]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        (_GREATER_EQUAL, 0, 1, 0x40000000),  # x32 calls of x86_64 would bypass every rule below
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
        (_EQUAL, 0, 1, _CLONE3[at]),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),  # its flags are hidden; libc falls back on clone
        (_EQUAL, 0, 4, _CLONE[at]),
        (_LOAD, 0, 0, 16),  # the low half of its first argument, the flags
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
    lines.append((_EQUAL, 0, 2 * len(_LOCKS) + 2, _FCNTL[at]))
    lines.append((_LOAD, 0, 0, 24))  # the low half of its second argument
    for command in _LOCKS:
        lines += [(_EQUAL, 0, 1, command), (_RETURN, 0, 0, _FAIL | errno.EPERM)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    for numbers in DENIED.values():
        if numbers[at] is not None:
            lines += [(_EQUAL, 0, 1, numbers[at]), (_RETURN, 0, 0, _FAIL | errno.EPERM)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
