"""Second chances: with --once-more, what failed is run again, each test alone, when all the others are over.

A machine that many tests share does not always keep the time a test needs. One that passes alone is named as
unsteady at the end, and the run is green; one that fails again has failed. No second chance is given where the
program crashed, hung or was stopped by a sanitizer, because a race that shows once is there, nor when more
tests fail than noise explains.
"""

import os
import re
import subprocess
import sys

import pytest

FAILED_MAX = 10
CRASHED = re.compile(r"weir ended with -?\d+:|weir did not stop on two SIGTERMs|(Thread|Address|Leak)Sanitizer")


def pytest_addoption(parser):
    parser.addoption("--once-more", action="store_true", help="run what failed again, alone, after the rest")


def passes_alone(config, nodeid) -> bool:
    path, colons, name = nodeid.partition("::")
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", f"{config.rootpath / path}{colons}{name}"]
    alone = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(command, env=alone, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    config = session.config
    if not config.getoption("once_more") or hasattr(config, "workerinput"):
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    failed = [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]
    names = list(dict.fromkeys(report.nodeid for report in failed))
    crashed = {report.nodeid for report in failed
               if CRASHED.search(report.longreprtext + "".join(text for _, text in report.sections))}
    if not names or len(names) > FAILED_MAX or not all("::" in name for name in names):
        return
    unsteady = [name for name in names if name not in crashed and passes_alone(config, name)]
    for kind in ("failed", "error"):
        kept = [report for report in reporter.stats.pop(kind, []) if report.nodeid not in unsteady]
        if kept:
            reporter.stats[kind] = kept
    if unsteady:
        reporter.stats["unsteady"] = [report for report in failed if report.nodeid in unsteady]
    if len(unsteady) == len(names) and session.exitstatus == 1:
        session.exitstatus = 0


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.stats.get("unsteady", [])
    for report in reports:
        terminalreporter.section(f"failed once: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
    for name in dict.fromkeys(report.nodeid for report in reports):
        terminalreporter.write_line(f"UNSTEADY {name}")
