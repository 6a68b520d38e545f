"""Fixtures of the integration suite; see harness.py for what they give."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import harness
from backends import Backend, UDPBackend, recorder

pytest_plugins = ["unsteady"]


def pytest_configure(config):
    config.addinivalue_line("markers", "harness_only: needs no binary")
    config.addinivalue_line("markers", "slow: takes more than 5 s")
    config.addinivalue_line("markers", "threads: where threads meet; `make test` runs it with ThreadSanitizer too")
    config.addinivalue_line("markers", "bytes: what moves and reads bytes; `make test` runs it with AddressSanitizer too")


def pytest_collection_modifyitems(config, items):
    if not os.path.exists(harness.BINARY) and "WEIR_PEER" not in os.environ:
        skip = pytest.mark.skip(reason=f"no binary at {harness.BINARY}")
        for item in items:
            if "harness_only" not in item.keywords:
                item.add_marker(skip)


def _factory(make_folder):
    kind = harness.Weir
    if "WEIR_PEER" in os.environ:  # another proxy in Weir's place, to test the tests
        from peers import StandIn as kind
    running = []

    def start(config, **options):
        weir = kind(config, make_folder(), **options)
        running.append(weir)
        return weir

    def finish():
        crashed = []
        for weir in running:
            code = weir.stop()
            if code == -9:
                crashed.append(f"weir did not stop on two SIGTERMs, or was killed:\n{weir.log()[-2000:]}")
            elif code not in (None, 0):
                crashed.append(f"weir ended with {code}:\n{weir.log()[-4000:]}")
        assert not crashed, "\n".join(crashed)

    start.running = running
    return start, finish


@pytest.fixture
def weir(tmp_path_factory):
    """weir(config) starts Weir; every test also asserts that it neither crashed nor hung."""
    start, finish = _factory(lambda: tmp_path_factory.mktemp("weir"))
    yield start
    finish()


@pytest.fixture(scope="module")
def _kept(tmp_path_factory):
    """Processes that tests of this module have given back."""
    kept = []
    yield kept
    codes = [weir.stop() for weir in kept]
    assert not any(codes), f"weir ended with {codes}"


@pytest.fixture
def reused_weir(tmp_path_factory, _kept):
    """As `weir`, for tests that do not mind what was counted before them: a process that an earlier test of the
    module is done with takes a new configuration, where nothing of that test is left in it."""
    start, finish = _factory(lambda: tmp_path_factory.mktemp("weir"))
    used = []

    def take(config, **options):
        workers = config.get("workers", 2)
        if not options and "admin" not in config and "WEIR_PEER" not in os.environ:
            for weir in [each for each in _kept if each.config["workers"] == workers]:
                _kept.remove(weir)
                if weir.is_left_alone():
                    weir.take_over(config, tmp_path_factory.mktemp("weir"))
                    used.append(weir)
                    return weir
                assert weir.stop() in (0, None), weir.log()[-4000:]
            used.append(start(config))
            return used[-1]
        return start(config, **options)

    yield take
    for weir in used:
        if weir.process.poll() is None:
            if weir in start.running:
                start.running.remove(weir)
            _kept.append(weir)
        else:
            assert weir.process.returncode == 0, f"weir ended with {weir.process.returncode}:\n{weir.log()[-4000:]}"
    finish()


@pytest.fixture(scope="module")
def shared_weir(tmp_path_factory):
    """The same, living as long as the test module."""
    start, finish = _factory(lambda: tmp_path_factory.mktemp("weir"))
    yield start
    finish()


@pytest.fixture
def backend():
    """backend(script) starts a scripted backend; without a script it mirrors what it received."""
    running = []

    def start(script=None, **options):
        running.append(Backend(script, **options) if script else recorder(**options))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def udp_backend():
    """udp_backend(reply) starts one that answers datagrams; without a reply it echoes them."""
    running = []

    def start(reply=None, **options):
        running.append(UDPBackend(reply, **options))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show Weir's own output below a failed test."""
    report = (yield).get_result()
    if report.failed:
        values = [w for value in item.funcargs.values() for w in (value if isinstance(value, tuple) else [value])]
        for folder in {w.folder for w in values if isinstance(w, harness.Weir)}:
            if os.path.exists(os.path.join(folder, "weir.log")):
                report.sections.append(("weir.log", open(os.path.join(folder, "weir.log")).read()[-3000:]))
