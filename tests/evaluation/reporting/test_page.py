from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from stream_anon.errors import OutputError
from stream_anon.evaluation.reporting.files import write
from stream_anon.evaluation.reporting.page import markdown, render
from stream_anon.evaluation.reporting.plot import svg
from stream_anon.evaluation.reporting.report import (
    Column,
    Line,
    Plot,
    Report,
    Section,
    Sheet,
    Table,
    reason,
)
from stream_anon.evaluation.scores import Estimate, share

VOID = {"meta", "img", "line", "circle", "polyline"}


class Balanced(HTMLParser):
    """Fails where tags do not close in order, and gathers what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.fetched += [v for k, v in attrs if k in ("src", "href") and v]
        assert tag not in ("script", "link", "iframe")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def report() -> Report:
    table = Table("A <table>", [Column("who"), Column("share %", "percent"), Column("x", "number")])
    table.add("fill & co", share(1, 1000), 0.25)
    table.add("blur", None, float("nan"))
    section = Section("privacy", "Privacy", "Text with <b>", [table])
    line = Line("one", [(1.0, 0.1), (1024.0, 0.9)])
    section.plots.append(Plot("rise", "epsilon", "cosine", [line], logarithmic=True))
    section.sheets.append(Sheet("Faces", ["row"], [[np.zeros((8, 8, 3), np.uint8)] * 2]))
    return Report({"title": "T & T", "machine": {"cores": 2}}, [section])


def test_the_page_is_well_formed_escaped_and_fetches_nothing(report):
    page = render(report)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert all(v.startswith(("data:image/jpeg;base64,", "#")) for v in parser.fetched)
    assert len([v for v in parser.fetched if v.startswith("data:")]) == 2
    assert "fill & co" in parser.text
    assert "A <table>" in parser.text
    assert "url(" not in page
    assert "0.10 [" in parser.text


def test_the_json_holds_every_figure_and_no_image(report):
    text = report.as_json()
    data = json.loads(text)
    row = data["sections"][0]["tables"][0]["rows"][0]
    assert row[1]["value"] == 0.001
    assert row[1]["count"] == 1000
    assert data["sections"][0]["tables"][0]["rows"][1][2] is None
    assert "base64" not in text
    assert "NaN" not in text


def test_both_files_are_written_whole(tmp_path, report):
    page = tmp_path / "deep" / "r.html"
    assert [p.name for p in write(report, page)] == ["r.html", "r.json"]
    assert [p.name for p in sorted(page.parent.iterdir())] == ["r.html", "r.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write(report, tmp_path / "file" / "r.html")


def test_words_that_may_not_be_said_are_not_said(report):
    page = render(report).lower()
    for word in ("anonymous", "gdpr", "guaranteed"):
        assert word not in page


def test_a_row_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 cells for 1"):
        Table("t", [Column("a")]).add("x", 1.0)


def test_plots_refuse_what_cannot_be_drawn():
    for line, logarithmic in (
        (Line("a", []), False),
        (Line("a", [(0.0, float("nan"))]), False),
        (Line("a", [(0.0, 1.0)]), True),
    ):
        with pytest.raises(ValueError, match="plot 't'"):
            svg(Plot("t", "x", "y", [line], logarithmic))


def test_one_point_and_a_flat_line_can_be_drawn():
    for points in ([(3.0, 0.0)], [(1.0, 0.5), (2.0, 0.5)], [(1.0, -1.0), (1.0, 1.0)]):
        assert svg(Plot("t", "x", "y", [Line("a", points)])).endswith("</svg>")


def test_a_table_as_markdown():
    table = Table("t", [Column("a"), Column("b %", "percent")])
    table.add("x", Estimate(0.5, 0.4, 0.6, 10))
    assert markdown(table).splitlines()[-1] == "| x | 50.0 [40.0, 60.0] |"


def test_a_report_names_no_folder_of_the_machine():
    error = OSError("/home/ann/models/net.onnx: missing from /home/ann/models, see docs/a.md")
    assert reason(error) == "net.onnx: missing from models, see docs/a.md"
