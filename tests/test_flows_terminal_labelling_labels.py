"""What the labelling page is served with: where Prefect shows the logs of a run."""

from __future__ import annotations

import pytest

from flows.terminal.labelling.labels import logs_address


@pytest.mark.parametrize(
    "page, api, expected",
    [
        (None, None, None),
        (None, "http://127.0.0.1:4200/api", "http://127.0.0.1:4200/runs/flow-run/"),
        ("https://prefect.example/", "http://server:4200/api", "https://prefect.example/runs/flow-run/"),
    ],
)
def test_logs_are_where_people_see_prefect(monkeypatch, page, api, expected):
    for name, value in (("PREFECT_UI_URL", page), ("PREFECT_API_URL", api)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert logs_address() == expected
