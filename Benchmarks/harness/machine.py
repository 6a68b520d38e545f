"""What the kernel says: CPU time and memory of processes, what else ran on a core, what the machine is.

CPU time of a process tree comes from /proc/PID/task/*/schedstat (nanoseconds actually run, kernel work done on the
process's behalf included), not from the 10 ms ticks of /proc/PID/stat; those give only the split into user and
system. What others took of a core is what /proc/stat says was not idle minus what we know our own processes ran.
"""

import contextlib
import os
import platform
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The process and all its descendants."""
    found = [pid]
    for each in found:
        try:
            for task in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{task}/children") as file:
                    found += [int(child) for child in file.read().split()]
        except OSError:
            pass
    return found


def cpu_ns(pids):
    """Nanoseconds run so far by all threads of the processes."""
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                    total += int(file.read().split()[0])
        except OSError:
            pass
    return total


def user_share(before, after):
    """Share of user time in what was used between two results of `ticks`, or None when too few ticks were seen."""
    user, system = after[0] - before[0], after[1] - before[1]
    return user / (user + system) if user + system >= 20 else None


def ticks(pids):
    """(user, system) ticks so far: coarse, only for the split."""
    user = system = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        except OSError:
            pass
    return user, system


def memory(pids):
    """Bytes resident (RSS) and proportional (PSS: shared pages divided among their users) of the processes."""
    rss = pss = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Rss:"):
                    rss += int(line.split()[1]) * 1024
                if line.startswith("Pss:"):
                    pss += int(line.split()[1]) * 1024
    return rss, pss


class Core:
    """Snapshot of one core's time in seconds: busy (anything but idle), stolen by the hypervisor, and ksoftirqd."""

    def __init__(self, number):
        self.at = time.monotonic()
        with open("/proc/stat") as file:
            line = next(line for line in file if line.startswith(f"cpu{number} "))
        values = [int(value) / TICKS for value in line.split()[1:]]
        self.idle = values[3] + values[4]
        self.steal = values[7]
        self.softirq = cpu_ns([_ksoftirqd(number)]) / 1e9


_softirq_pids = {}


def _ksoftirqd(number):
    if number not in _softirq_pids:
        _softirq_pids[number] = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() == f"ksoftirqd/{number}":
                        _softirq_pids[number] = int(pid)
            except OSError:
                pass
    return _softirq_pids[number]


def core_use(before, after, own_seconds):
    """How one core was used between two snapshots, as shares of the elapsed time.

    `foreign` is what neither our own processes nor the kernel's ksoftirqd (working for them) took.
    """
    elapsed = after.at - before.at
    busy = elapsed - (after.idle - before.idle)
    steal = after.steal - before.steal
    softirq = after.softirq - before.softirq
    foreign = max(0.0, busy - steal - softirq - own_seconds)
    return {
        "busy": round(min(1.0, max(0.0, busy / elapsed)), 4),
        "own": round(own_seconds / elapsed, 4),
        "foreign": round(foreign / elapsed, 4),
        "steal": round(max(0.0, steal) / elapsed, 4),
        "ksoftirqd": round(softirq / elapsed, 4),
    }


def _run(*command):
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        return result.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _first_line(text):
    return text.splitlines()[0] if text else ""


_CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"


@contextlib.contextmanager
def congestion_control(name):
    """The kernel's choice for new sockets, while this lasts (needs root); None leaves it as it is."""
    with open(_CONGESTION) as file:
        before = file.read()
    if name:
        with open(_CONGESTION, "w") as file:
            file.write(name)
    try:
        yield
    finally:
        if name:
            with open(_CONGESTION, "w") as file:
                file.write(before)


def describe(root, programs):
    """The machine, the programs and the commit, for the head of a results file."""
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        memory_kib = int(next(line for line in file if line.startswith("MemTotal")).split()[1])
    with open("/etc/os-release") as file:
        system = next(line.split("=", 1)[1].strip().strip('"') for line in file if line.startswith("PRETTY_NAME"))
    with open(_CONGESTION) as file:
        congestion = file.read().strip()
    changed = _run("git", "-C", root, "status", "--porcelain", "--untracked-files=no")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "virtual": _run("systemd-detect-virt", "--vm") or "unknown",
        "memory_gib": round(memory_kib / 1048576, 1),
        "system": system,
        "kernel": platform.release(),
        "tcp_congestion_control": congestion,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _run("git", "-C", root, "rev-parse", "--short=12", "HEAD"),
        "uncommitted_changes": bool(changed),
        "versions": {
            "weir": _first_line(_run(programs["weir"], "version")),
            "nginx": _run(programs["nginx"], "-v").replace("nginx version: ", ""),
            "haproxy": _first_line(_run(programs["haproxy"], "-v")).split(" - ")[0],
            "haproxy28": _first_line(_run(programs["haproxy28"], "-v")).split(" - ")[0],
            "envoy": "/".join(_run(programs["envoy"], "--version").split(" version: ")[-1].split("/")[1:2]),
            "caddy": _first_line(_run(programs["caddy"], "version")).split(" ")[0],
            "openssl": _first_line(_run("openssl", "version")).split(" (")[0],
        },
    }
