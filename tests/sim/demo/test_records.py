"""What end points write is read back, whatever stands between it."""

from sim.demo.records import End, Probe, Progress, Record


def test_every_kind_of_line_is_read() -> None:
    record = Record()
    record.read(["sent 3 100", "echo 3 100 150 200", "seen 4 110 160", "got 500 65536", "end 0 65536 abc"])
    assert record.sent == {3: 100}
    assert record.echoes == {3: Probe(3, 100, 150, 200)}
    assert record.echoes[3].rtt_ns == 100
    assert record.seen == {(4, 110): 160}
    assert record.progress == [Progress(500, 65536)]
    assert record.end == End(0, 65536, "abc")


def test_other_programs_lines_are_passed_over() -> None:
    record = Record()
    record.read(["curl: (56) Recv failure: Connection reset by peer", "", "sent 1"])
    assert record == Record()


def test_probers_that_both_count_from_zero_are_told_apart() -> None:
    record = Record()
    record.read(["seen 0 100 150", "seen 0 900 950", "seen 0 900 999"])
    assert sorted(record.seen.values()) == [150, 950]


def test_a_repeated_echo_counts_once_and_as_it_came_first() -> None:
    record = Record()
    record.read(["echo 1 0 5 10", "echo 1 0 5 99"])
    assert record.echoes == {1: Probe(1, 0, 5, 10)}
