"""The metrics of several nodes as one text."""

from __future__ import annotations

from callflow.telemetry.node_metrics import merged


def test_metrics_of_several_nodes_stand_together_under_each_metric() -> None:
    texts = {
        "w2": '# HELP calls Live.\n# TYPE calls gauge\ncalls{state="ringing"} 2.0\n# TYPE lag gauge\nlag 0.5\n',
        "w1": '# HELP calls Live.\n# TYPE calls gauge\ncalls{state="ringing"} 1.0\n',
    }
    assert merged(texts).splitlines() == [
        "# HELP calls Live.",
        "# TYPE calls gauge",
        'calls{node="w1",state="ringing"} 1.0',
        'calls{node="w2",state="ringing"} 2.0',
        "# TYPE lag gauge",
        'lag{node="w2"} 0.5',
    ]


def test_what_two_versions_of_the_server_say_of_a_metric_stands_there_once() -> None:
    texts = {
        "w1": "# HELP lag Late.\n# TYPE lag gauge\nlag 1\n",
        "w2": "# HELP lag How late.\n# TYPE lag gauge\nlag 2\n",
    }
    assert merged(texts) == '# HELP lag Late.\n# TYPE lag gauge\nlag{node="w1"} 1\nlag{node="w2"} 2\n'


def test_a_histogram_stays_together_and_its_labels_are_kept() -> None:
    text = (
        '# HELP wait_seconds W.\n# TYPE wait_seconds histogram\nwait_seconds_bucket{le="+Inf",kind="a}b"} 3.0\n'
        "wait_seconds_count 3.0\nwait_seconds_sum 1e-05\n"
    )
    assert merged({"n": text}).splitlines()[2:] == [
        'wait_seconds_bucket{node="n",le="+Inf",kind="a}b"} 3.0', 'wait_seconds_count{node="n"} 3.0',
        'wait_seconds_sum{node="n"} 1e-05',
    ]  # fmt: skip


def test_a_line_ends_where_the_format_says_so_and_nowhere_else() -> None:
    text = '# TYPE calls gauge\ncalls{profile="a\u2028b\x85c"} 1\n'
    assert merged({"n": text}) == '# TYPE calls gauge\ncalls{node="n",profile="a\u2028b\x85c"} 1\n'


def test_what_is_no_sample_is_left_out() -> None:
    assert merged({}) == merged({"n": ""}) == merged({"n": "\n# EOF\n<html>\n"}) == ""
    assert merged({"n": "# TYPE calls gauge\n# a comment\ncalls\n1calls 2\ncalls 3\n"}).endswith('calls{node="n"} 3\n')
