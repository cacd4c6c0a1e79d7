"""Keeps one process of a pod: starts it, writes down its output and its end. A program of its own.

``python3 -I -S keeper.py FOLDER`` starts what ``FOLDER/spec.json`` says. Output goes to ``FOLDER/log``
(before that ``log.1``), each line with its time, as container runtimes write it; ``run.json`` says who
runs, ``exit.json`` how it ended. The unit that asked for it (`overlayd.workload.processes`) may go and come
back meanwhile: it knows the keeper by its process id and start. SIGTERM asks the process to end, and makes
it after its grace period; SIGUSR1 makes it at once. Where a lease is asked for, the keeper ends the process
when that runs out, even if nobody else is there to do it. What the process leaves behind ends with it, and
the process with its keeper.

``keeper.py --guard LEASE PID START`` only sees to the lease of a process that runs elsewhere, in a container.

Only the standard library, and little of it: there is one keeper for each process. I/O.
"""

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time

LOG_BYTES = 10 * 1024 * 1024
"""A log that has grown so long is put aside as ``log.1``."""
LONGEST_LINE = 16 * 1024
DRAIN_S = 1.0
"""So long output is waited for that somebody holds open after the end."""
LOOK_MS = 500
"""A lease is looked at so often."""
LEASE_MARGIN_NS = 1_000_000_000
NOT_STARTED = 127
START_FAILED = "StartError"
LEASE_OVER = "LeaseExpired"
OUT_OF_MEMORY = "OOMKilled"
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_CLONE_NEWNS, _MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 0x20000, 1, 32, 4096, 16384, 1 << 19
_LIBC = ctypes.CDLL(None, use_errno=True)


def main(folder: str) -> int:
    """Keep a process until it has ended. Where nobody waits for a notice, the first process returns as soon
    as the process runs, and the keeper goes on behind it.
    """
    spec = Spec(folder)
    notify_socket = os.environ.pop("NOTIFY_SOCKET", "")
    ready = None if notify_socket else _become_daemon()
    _LIBC.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _write("/proc/self/oom_score_adj", b"-500")
    keeper = Keeper(folder, spec)
    started = keeper.start()
    if ready is not None:
        os.write(ready, b"r")
        os.close(ready)
    else:
        _notify(notify_socket)
    if started:
        keeper.keep()
    return 0


def guard(lease: str, pid: int, start: int) -> int:
    """End a process that somebody else keeps when its lease runs out, if it is still the one that began
    then.
    """
    notify_socket = os.environ.pop("NOTIFY_SOCKET", "")
    pidfd = os.pidfd_open(pid)
    if start_of(pid) != start:
        return 1
    if notify_socket:
        _notify(notify_socket)
    else:
        os.write(_become_daemon(), b"r")
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    while not poll.poll(LOOK_MS):
        if time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= _lease_end_ns(lease):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    return 0


class Spec:
    """What to run, as `overlayd.workload.processes` writes it."""

    def __init__(self, folder: str) -> None:
        with open(f"{folder}/spec.json", "rb") as file:
            read = json.load(file)
        self.command: list[str] = read["command"]
        self.env: dict[str, str] = read["env"]
        self.cwd: str = read["cwd"]
        self.grace_s: float = read["grace_s"]
        self.mounts: list[tuple[str, str, bool]] = read["mounts"]
        self.cgroups: list[str] = read["cgroups"]
        self.oom: str = read["oom"]
        self.lease: str = read["lease"]


class Keeper:
    """One process and its output."""

    def __init__(self, folder: str, spec: Spec) -> None:
        self._folder = folder
        self._spec = spec
        self._pid = 0
        self._code: int | None = None
        self._reason = ""
        self._kill_at = 0.0
        self._streams: dict[int, _Stream] = {}
        self._log = Log(f"{folder}/log")
        self._oom_file = spec.oom or _own_memory_events()
        self._oom_before = _count_of(self._oom_file)
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, _take_note)
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def start(self) -> bool:
        """Start the process; tell whether it runs. Both outcomes are on disk before this returns."""
        out, err, trouble = os.pipe(), os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _become(self._spec, out[1], err[1], trouble[1])
        for _, theirs in (out, err, trouble):
            os.close(theirs)
        problem = _read_all(trouble[0]).decode(errors="replace")
        if problem:
            os.waitpid(self._pid, 0)
            self._say_end(NOT_STARTED, START_FAILED, problem)
            return False
        self._streams = {out[0]: _Stream("stdout"), err[0]: _Stream("stderr")}
        me = os.getpid()
        said = {"keeper": me, "start": start_of(me), "boot": boot_id(), "pid": self._pid}
        _put(f"{self._folder}/run.json", {**said, "started_ns": time.time_ns()})
        return True

    def keep(self) -> None:
        """Carry output until the end, and write that down."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        for descriptor in self._streams:
            os.set_blocking(descriptor, False)
            poll.register(descriptor, select.POLLIN)
        drained_at = 0.0
        while self._code is None or (self._streams and time.monotonic() < drained_at):
            for descriptor, _ in poll.poll(self._patience_ms(drained_at)):
                if descriptor == self._woken:
                    self._heed(os.read(self._woken, 4096))
                elif not self._carry(descriptor):
                    poll.unregister(descriptor)
                    os.close(descriptor)
                    del self._streams[descriptor]
            if self._code is None:
                self._look_at_the_clock()
                self._reap()
                if self._code is not None:
                    self._end_all()
                    drained_at = time.monotonic() + DRAIN_S
        for stream in self._streams.values():
            self._log.write(stream.rest())
        code = self._code or 0
        if not self._reason and code == 128 + signal.SIGKILL and _count_of(self._oom_file) > self._oom_before:
            self._reason = OUT_OF_MEMORY
        self._say_end(code, self._reason, "")

    def _patience_ms(self, drained_at: float) -> int | None:
        if self._code is not None:
            return max(1, round((drained_at - time.monotonic()) * 1000))
        if self._spec.lease:
            return LOOK_MS
        return max(1, round((self._kill_at - time.monotonic()) * 1000)) if self._kill_at else None

    def _heed(self, signals: bytes) -> None:
        if signal.SIGUSR1 in signals:
            self._end_all()
        elif signal.SIGTERM in signals:
            self._kill_at = time.monotonic() + self._spec.grace_s
            _signal_group(self._pid, signal.SIGTERM)

    def _look_at_the_clock(self) -> None:
        if self._kill_at and time.monotonic() >= self._kill_at:
            self._end_all()
        if self._spec.lease and time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= _lease_end_ns(self._spec.lease):
            self._reason = LEASE_OVER
            self._end_all()

    def _carry(self, descriptor: int) -> bool:
        """Carry output of one stream to the log; False at its end."""
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return True
        stream = self._streams[descriptor]
        self._log.write(stream.lines(data) if data else stream.rest())
        return bool(data)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code

    def _end_all(self) -> None:
        """End the process and all that came of it; what loses its parent becomes a child of this process."""
        for _ in range(100):
            if self._code is None:
                _signal_group(self._pid, signal.SIGKILL)
            children = _children()
            for pid in children:
                _kill(pid)
            if not children:
                return
            time.sleep(0.005)
            self._reap()

    def _say_end(self, code: int, reason: str, message: str) -> None:
        said = {"code": code, "reason": reason, "message": message, "finished_ns": time.time_ns()}
        _put(f"{self._folder}/exit.json", said)


class Log:
    """A file of lines that is put aside when it is long. A disk that takes nothing loses lines, and stops
    nobody.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._descriptor = -1
        self._bytes = 0

    def write(self, lines: bytes) -> None:
        if not lines:
            return
        try:
            if self._descriptor < 0 or self._bytes >= LOG_BYTES:
                self._open()
            self._bytes += os.write(self._descriptor, lines)
        except OSError:
            return

    def _open(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            os.replace(self._file, f"{self._file}.1")
        self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._bytes = os.fstat(self._descriptor).st_size


class _Stream:
    """The lines of stdout or stderr: ``TIME stream F line``, or ``P`` for a part of one that is too long."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._open = b""

    def lines(self, data: bytes) -> bytes:
        """Return the lines that ``data`` completes."""
        *whole, self._open = (self._open + data).split(b"\n")
        stamp = self._stamp()
        out = [part for line in whole for part in _parts(stamp, line)]
        while len(self._open) > LONGEST_LINE:
            out.append(b"%s P %s\n" % (stamp, self._open[:LONGEST_LINE]))
            self._open = self._open[LONGEST_LINE:]
        return b"".join(out)

    def rest(self) -> bytes:
        """Return what came after the last line."""
        rest, self._open = self._open, b""
        return b"".join(_parts(self._stamp(), rest)) if rest else b""

    def _stamp(self) -> bytes:
        seconds, ns = divmod(time.time_ns(), 1_000_000_000)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return b"%s.%09dZ %s" % (moment.encode(), ns, self._name)


def _parts(stamp: bytes, line: bytes) -> list[bytes]:
    found: list[bytes] = []
    while len(line) > LONGEST_LINE:
        found.append(b"%s P %s\n" % (stamp, line[:LONGEST_LINE]))
        line = line[LONGEST_LINE:]
    return [*found, b"%s F %s\n" % (stamp, line)]


def start_of(pid: int) -> int | None:
    """Return when a process started, in ticks since the boot; None: there is none, or it has ended.

    With its id it names a process for ever, as ids come again.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def boot_id() -> str:
    """Return what names this boot of the host."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _become(spec: Spec, out: int, err: int, trouble: int) -> None:
    """In the child: turn into what is to run; what stands in the way is told to the keeper."""
    try:
        os.setsid()
        _LIBC.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for procs in spec.cgroups:
            with open(procs, "wb", buffering=0) as file:
                file.write(b"0")
        _write("/proc/self/oom_score_adj", b"0")
        _mount(spec.mounts)
        os.chdir(spec.cwd)
        os.umask(0o022)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(spec.command[0], spec.command, spec.env)
    except OSError as error:
        what = error.filename if error.filename is not None else spec.command[0]
        os.write(trouble, f"{what}: {error.strerror}".encode())
    except BaseException as error:
        os.write(trouble, repr(error).encode())
    finally:
        os._exit(NOT_STARTED)


def _mount(mounts: list[tuple[str, str, bool]]) -> None:
    """Show folders and files of the host at other places, to this process and what it starts alone."""
    if not mounts:
        return
    _check(_LIBC.unshare(_CLONE_NEWNS), "mount namespace")
    _check(_LIBC.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None), "/")
    for source, target, read_only in mounts:
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        elif not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        place = target.encode()
        _check(_LIBC.mount(source.encode(), place, None, _MS_BIND | _MS_REC, None), source)
        if read_only:
            _check(_LIBC.mount(None, place, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY, None), target)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _become_daemon() -> int:
    """Go on as a process of nobody's; the one that was called ends once the returned descriptor is written
    to.
    """
    readable, writable = os.pipe()
    if os.fork() != 0:
        os.close(writable)
        os._exit(0 if os.read(readable, 1) else 1)
    os.close(readable)
    os.setsid()
    return writable


def _notify(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        sock.send(b"READY=1")


def _take_note(number: int, _: object) -> None:
    """The signal itself is read from the wake-up pipe."""


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        _kill(pid, number)  # it has no group of its own yet


def _kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _children() -> list[int]:
    """The living children of this process."""
    me = os.getpid()
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == me and fields[0] not in (b"Z", b"X"):
                found.append(int(name))
    return found


def _lease_end_ns(file: str) -> int:
    try:
        with open(file, encoding="ascii") as stream:
            return int(stream.read()) - LEASE_MARGIN_NS
    except (OSError, ValueError):
        return 0


def _own_memory_events() -> str:
    """Where the kernel counts processes of this cgroup that it ended for want of memory (cgroup v2)."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            path = next((line[3:].strip() for line in file if line.startswith("0::")), "")
    except OSError:
        return ""
    return f"/sys/fs/cgroup{path}/memory.events"


def _count_of(file: str) -> int:
    """``oom_kill`` of ``memory.events`` (v2) or ``memory.oom_control`` (v1)."""
    try:
        with open(file, encoding="ascii") as stream:
            return next((int(line.split()[1]) for line in stream if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0


def _read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


def _write(file: str, data: bytes) -> None:
    """As far as this process may."""
    try:
        with open(file, "wb", buffering=0) as stream:
            stream.write(data)
    except OSError:
        return


def _put(file: str, values: object) -> None:
    """Write a file that is whole whenever it is there."""
    with open(f"{file}.new", "w", encoding="utf-8") as stream:
        json.dump(values, stream)
    os.replace(f"{file}.new", file)


if __name__ == "__main__":
    if sys.argv[1] == "--guard":
        sys.exit(guard(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    sys.exit(main(sys.argv[1]))
