"""Results as Markdown: every figure with its interval, and bad files in one line."""

import json

import pytest

from stream_anon.evaluation.reporting.tables import main

FOUND = {
    "what": "identity on 10 images",
    "quick": True,
    "machine": {"processor": "P", "cores": 2, "openvino": "1", "date": "today"},
    "sections": [
        {"title": "Empty", "tables": []},
        {
            "title": "Privacy",
            "tables": [
                {
                    "title": "EER",
                    "note": "Chance is 50 %.",
                    "columns": [
                        {"title": "condition", "unit": "text"},
                        {"title": "pairs", "unit": "number"},
                        {"title": "EER %", "unit": "percent"},
                        {"title": "cost", "unit": "ms"},
                    ],
                    "rows": [
                        ["fill", 18, {"value": 0.4731, "low": 0.05, "high": 0.5}, 3.456],
                        ["blur", 18, None, None],
                    ],
                }
            ],
        },
    ],
}


def test_a_table_holds_every_figure(tmp_path, capsys):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(FOUND))
    assert main([str(path)]) == 0
    out = capsys.readouterr().out
    assert "| fill | 18 | 47.3 [5.00, 50.0] | 3.46 |" in out
    assert "| blur | 18 | - | - |" in out
    assert "|---|---:|---:|---:|" in out
    assert "Chance is 50 %." in out
    assert "Empty" not in out
    assert "--quick" in out


@pytest.mark.parametrize("text", ["{}", "nonsense", "[]"])
def test_what_is_no_result_is_said_in_one_line(tmp_path, capsys, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert main([str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}: is no result")


def test_a_missing_file_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "none.json")]) == 1
    assert "cannot be read" in capsys.readouterr().err
