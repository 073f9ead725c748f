"""bench/compare runs through, measures what it says, and notices a format that answers otherwise."""

import json
import os
import subprocess
import sys

import pytest

from support.server import BUILD, REPO

sys.path.insert(0, os.path.join(REPO, "bench"))

from comparing.counts import Traced  # noqa: E402
from comparing.report import as_text  # noqa: E402
from comparing.run import SCALES, Bench, Operation  # noqa: E402
from comparing.scale import as_html, growth, grown  # noqa: E402
from comparing.scale import as_text as scale_text  # noqa: E402
from comparing.statistics import Ratio, interval, median  # noqa: E402


def test_a_small_comparison(tmp_path):
    done = subprocess.run(
        [sys.executable, "-B", "-m", "comparing", "--scale", "small", "--repeats", "2", "--formats", "maildir,lbox",
         "--only", "counts,lmtp,copy,select-no-index", "--output", str(tmp_path)],
        cwd=REPO + "/bench", env=dict(os.environ, LBOX_BUILD=BUILD), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["name"] for row in report["operations"]] == ["lmtp", "select-no-index", "copy"]
    for row in report["operations"]:
        assert row["against"] == "maildir" and row["low"] <= row["ratio"] <= row["high"]
        assert len(row["formats"]["lbox"]["seconds"]) == 2
    assert report["counts"]["lbox"]["flushes, small"] <= 3
    assert report["counts"]["maildir"]["flushes, small"] >= 3
    assert as_text(report) in done.stdout
    html = (tmp_path / "report.html").read_text()
    assert "<svg" in html and "http" not in html.replace("http-equiv", "")


def test_micro_benchmarks_and_how_they_grow(tmp_path):
    done = subprocess.run(
        [sys.executable, "-B", "-m", "comparing.scale", "--filter", "(Deliver|ReadHeader|Scan|Total|Forecast)/.*:1000/", "--repeats", "2",
         "--output", str(tmp_path), "--benchmark_min_time=0.01"],
        cwd=REPO + "/bench", env=dict(os.environ, LBOX_BUILD=BUILD), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "scale.json").read_text())
    assert list(figures) == ["Deliver", "Forecast", "ReadHeader", "Scan (per message)", "Total"]
    assert all(times for times in figures.values()) and (tmp_path / "scale.html").read_text().count("<svg") == 5
    assert (tmp_path / "scale.txt").read_text() in done.stdout


class _Format:
    def __init__(self, name):
        self.name = name


def test_a_different_answer_ends_the_comparison():
    def answer(turn):
        with turn.timed():
            return turn.format.name

    def same(turn):
        answer(turn)

    bench = Bench([_Format("maildir"), _Format("lbox")], None, SCALES["small"], progress=lambda text: None)
    with pytest.raises(SystemExit, match="answers differ"):
        bench.run([Operation("x", "x", function=answer)], 1)
    figures = bench.run([Operation("x", "x", function=same)], 3)
    assert {name: len(seconds) for name, seconds in figures["x"].items()} == {"maildir": 3, "lbox": 3}


def test_ratios():
    assert median([3, 1, 2]) == 2 and median([4, 1, 2, 3]) == 2.5
    low, high = interval([1.0] * 9 + [9.0])
    assert low == high == 1.0
    ratio = Ratio([1, 2, 3, 4], [2, 4, 6, 8])
    assert ratio.median == ratio.low == ratio.high == 0.5 and ratio.meets(0.5) and not ratio.meets(0.49)


def test_flushes_are_counted_however_they_are_asked_for(tmp_path):
    trace = tmp_path / "trace"
    before = '7 openat(AT_FDCWD, "x", O_RDWR|O_DSYNC|O_CLOEXEC) = 5\n'
    trace.write_text(before)
    traced = Traced(str(trace))
    traced.mark()
    trace.write_text(before + '7 pwrite64(5, ""..., 120, 32) = 120\n7 pwrite64(6, ""..., 10, 0) = 10\n7 fdatasync(6) = 0\n'
                     "7 close(5) = 0\n7 write(5, \"\"..., 4) = 4\n7 fsync(9 <unfinished ...>\n7 <... fsync resumed>) = 0\n")
    calls, written = traced.count()
    assert (calls["O_DSYNC write"], calls["fdatasync"], calls["fsync"], written) == (1, 1, 1, 134)


def test_growth_of_micro_benchmarks():
    def entry(name, time, unit="us", **more):
        return {"name": name, "real_time": time, "time_unit": unit, **more}

    figures = growth([
        entry("Run/Deliver/messages:1000/real_time_median", 100.0, aggregate_name="median"),
        entry("Run/Deliver/messages:1000/real_time_mean", 900.0, aggregate_name="mean"),
        entry("Run/Deliver/messages:100000/real_time_median", 0.12, "ms", aggregate_name="median"),
        entry("Scan/messages:1000/real_time", 5000.0), entry("Scan/messages:1000000/real_time", 2.0, "s"),
        entry("Run/Total/accounts:1000/real_time", 500.0, "ns")])
    assert figures == {"Deliver": {1000: 100.0, 100000: 120.0}, "Scan (per message)": {1000: 5.0, 1000000: 2.0}, "Total": {1000: 0.5}}
    assert grown(figures["Deliver"]) == 1.2 and grown(figures["Total"]) == 1
    lines = scale_text(figures).splitlines()
    assert lines[0].split() == ["microseconds", "1k", "100k", "1M", "largest", "/", "smallest"]
    assert lines[2].split() == ["Deliver", "100", "120", "1.20"]
    page = as_html(figures)
    assert page.count("<svg") == 3 and page.count("<circle") == 5 and "http" not in page
