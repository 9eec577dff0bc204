"""The file of the vectors of records is not stale."""

from support import record_vectors


def test_the_file_is_what_would_be_written_today() -> None:
    assert record_vectors.load() == record_vectors.build(), "stale: write it again, see support/record_vectors.py"


def test_each_fault_has_a_neighbour_of_each_suite() -> None:
    for suite in record_vectors.load().suites:
        assert {neighbour.fault for neighbour in suite.malformed} == {"record", "framing", "too_large", "command"}
