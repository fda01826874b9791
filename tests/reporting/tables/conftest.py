"""Metrics files of a table, and the published values."""

from __future__ import annotations

import pytest

from helpers.tables import PAPER, REFUSAL, SPEC, cell


@pytest.fixture
def metrics(tmp_path):
    """oracle best, srp_phat, multilat; gnn refuses; wav2pos was never run on speech3."""
    found = []
    for track in SPEC["tracks"]:
        found.append(cell(tmp_path, "oracle", track, 1.0))
        found.append(cell(tmp_path, "srp_phat", track, 20.0))
        found.append(cell(tmp_path, "multilat", track, 30.0))
        found.append(cell(tmp_path, "gnn", track, float("nan"), note=REFUSAL))
    found.append(cell(tmp_path, "wav2pos", "music3", 14.04))
    found.append(cell(tmp_path, "wav2pos", "speech3", 5.0, dataset="another"))
    return found


@pytest.fixture
def paper(request):
    return request.config.rootpath / PAPER
