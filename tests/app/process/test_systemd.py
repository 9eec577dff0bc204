"""What a service manager's variables mean to us, and that nobody after us reads them."""

import os

import pytest

from curveproxy.app.process.systemd import SystemdNotifier

OTHER = "1"


def test_its_variables_are_taken_out_of_the_environment_and_nothing_else() -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1", "WATCHDOG_PID": OTHER, "PATH": "/bin"}
    environment |= {"LISTEN_PID": OTHER, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "curveproxy.socket"}
    SystemdNotifier(environment)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("pid", ["", OTHER, "x"])
def test_descriptors_that_are_another_process_s_are_left_alone(pid: str) -> None:
    assert SystemdNotifier({"LISTEN_PID": pid, "LISTEN_FDS": "1"}).listeners == []


@pytest.mark.parametrize("count", ["", "-1", "x"])
def test_a_number_that_is_none_is_none_at_all(count: str) -> None:
    assert SystemdNotifier({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}).listeners == []


def test_a_manager_that_is_not_there_is_not_missed() -> None:
    SystemdNotifier({"NOTIFY_SOCKET": "/nowhere"}).ready("serving orders")
