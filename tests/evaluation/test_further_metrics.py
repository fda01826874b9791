"""What stands behind the tables: conditions, gains, costs, counts, properties, ranks, the paper."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.frames import anechoic_frames
from helpers.networks import SMALL_OPTIONS as PREDICTED
from helpers.networks import with_model
from wavloc import cli, config, meter, methods, plugins
from wavloc.errors import InputError
from wavloc.evaluation import bootstrap, denoising
from wavloc.evaluation.conditions import evaluate_by
from wavloc.evaluation.costs import costs
from wavloc.evaluation.counts import counts
from wavloc.evaluation.metrics import evaluate
from wavloc.evaluation.properties import measure
from wavloc.evaluation.ranking import leaderboard
from wavloc.frames import Frames
from wavloc.methods import predictions as stored
from wavloc.methods.predictions import Predictions
from wavloc.reporting import reproduction, tables

CELL = {"dataset": "faces", "track": "test", "setup": "1a", "mics": 11}
CONDITIONS = ["t60_nominal_s", "snr_db"]


def answers(frames: Frames, error_m: np.ndarray, **meta: object) -> Predictions:
    position = frames.source_position + np.asarray(error_m)[:, None] * [0.0, 0.6, 0.8]
    status = np.where(np.isfinite(position).all(axis=1), "ok", "failed").astype(object)
    return Predictions(position, status, seconds_per_frame=0.004, meta=meta)


@pytest.fixture
def swept() -> Frames:
    """Sixteen frames: two values of T60 by two of SNR, four each."""
    frames = anechoic_frames(16)
    frames.table["t60_nominal_s"] = np.arange(16) // 8 * 0.2
    frames.table["snr_db"] = np.arange(16) // 4 % 2 * 10.0
    frames.table["speaker"] = np.arange(16) % 3
    frames.table["recording"] = np.arange(16) % 5
    return frames


# ------------------------------------------------------------------ conditions and gains


def test_conditions_are_those_frames_alone(swept: Frames) -> None:
    found = {"m": answers(swept, np.linspace(0, 1.5, 16))}
    table = evaluate_by(found, swept, CELL, CONDITIONS)
    mae = table[table["metric"] == "mae"]
    assert len(mae) == 2 + 2 + 4
    pair = mae[(mae["t60_nominal_s"] == 0.2) & (mae["snr_db"] == 10)]
    assert pair["value"].item() == pytest.approx(100 * np.linspace(0, 1.5, 16)[12:].mean())
    assert pair["track"].item() == "T60 0.2 s, SNR 10 dB"
    alone = mae[(mae["snr_db"] == 0) & mae["t60_nominal_s"].isna()]
    rows = [0, 1, 2, 3, 8, 9, 10, 11]
    assert alone["value"].item() == pytest.approx(100 * np.linspace(0, 1.5, 16)[rows].mean())
    assert alone["n_frames"].item() == 8
    with pytest.raises(InputError, match="no column 'snr_db'"):
        evaluate_by(found, anechoic_frames(16), CELL, ["snr_db"])


def test_si_sdr_of_known_mixtures() -> None:
    rng = np.random.default_rng(0)
    signal, noise = rng.standard_normal((2, 3, 200_000))
    assert denoising.si_sdr_db(signal + 0.1 * noise, signal) == pytest.approx(20, abs=0.1)
    assert denoising.si_sdr_db(7 - 5 * signal + 5 * noise, signal) == pytest.approx(0, abs=0.1)


def test_gain_of_halved_noise_is_six_decibels() -> None:
    clean = anechoic_frames(6)
    noise = np.random.default_rng(1).standard_normal(clean.audio.shape).astype(np.float32)
    noisy = dataclasses.replace(clean, audio=clean.audio + noise)
    restored = (clean.audio + 0.5 * noise) * 3 + 1
    source = np.zeros((6, 1, restored.shape[-1]), np.float32)
    better = answers(noisy, np.zeros(6))
    better.audio = np.concatenate([source, restored], axis=1)
    both = {"better": better, "deaf": answers(noisy, np.zeros(6))}
    table = evaluate(both, noisy, CELL, clean=clean).set_index(["method", "metric"])
    assert table.loc[("better", "si_sdr_gain"), "value"] == pytest.approx(6.02, abs=0.2)
    assert np.isnan(table.loc[("deaf", "si_sdr_gain"), "value"])
    assert "does not reconstruct" in table.loc[("deaf", "si_sdr_gain"), "note"]
    with pytest.raises(InputError, match="source positions differ"):
        denoising.gain_db(better, noisy, anechoic_frames(6, seed=1))


def test_reconstructed_signals_are_kept_where_asked(tmp_path: Path) -> None:
    frames = anechoic_frames(3)
    small = {"embed_dim": 16, "encoder_depth": 1, "decoder_depth": 1, "features": "gcc"}
    method = methods.create("wav2pos", {"options": small})
    method.prepare(frames)
    plain = method.predict(frames)
    assert plain.audio is None
    method.keep_audio = True
    asked = method.predict(frames)
    assert asked.audio.shape == (3, 12, 2048)
    assert np.array_equal(plain.position, asked.position)
    asked.save(tmp_path / "p.parquet")
    assert np.array_equal(stored.load(tmp_path / "p.parquet").audio, asked.audio)
    frames.save(tmp_path / "frames")
    command = ["predict", "--method", "nlls", "--frames", str(tmp_path / "frames"), "--audio"]
    assert cli.main([*command, "--out", str(tmp_path / "n.parquet")]) == 2


# ------------------------------------------------------------------ N/A, costs, counts


def test_a_method_that_fails_in_every_frame_is_not_available() -> None:
    """As Multilat* with five microphones: a guard refuses every frame."""
    frames = anechoic_frames(4)
    lost = answers(frames, np.full(4, np.nan))
    lost.status[:] = ["too_few_entries"] * 3 + ["low_support"]
    table = evaluate({"good": answers(frames, np.zeros(4)), "lost": lost}, frames, CELL)
    rows = table[table["method"] == "lost"].set_index("metric")
    assert rows["value"].drop("failure_rate").isna().all()
    assert rows.loc["failure_rate", "value"] == 100
    assert rows.loc["mae", "note"] == "no frame located (too_few_entries: 3, low_support: 1)"
    spec = {"title": "T", "caption": "c", "layout": "mics", "dataset": "faces", "mics": [11],
            "tracks": ["test"], "setups": ["1a"], "metrics": ["mae"]}  # fmt: skip
    rows = {name: {"label": name, "paper_label": name} for name in ("good", "lost")}
    frame = tables.assemble("t", spec, rows, [])
    assert tables.to_markdown(frame, spec, rows).count("<sup>a</sup>") == 3


def test_costs_are_what_was_measured() -> None:
    frames = anechoic_frames(4)
    cost = {"device": "a CPU", "peak_memory_mb": 80.0, "energy_wh": None, "energy_note": "none"}
    trained = {"cost": cost | {"seconds": 7200.0, "energy_wh": 5.0, "device": "a GPU"}}
    found = {
        "net": answers(frames, np.zeros(4), cost=cost),
        "classical": answers(frames, np.zeros(4), cost=cost),
        "imported": answers(frames, np.zeros(4)),
        "none": answers(frames, np.full(4, np.nan), refused="needs more", cost=cost),
    }
    table = costs(found, {"net": trained, "imported": {"imported": "x.pt"}}, CELL)
    table = table.set_index(["method", "metric"])
    assert table.loc[("net", "train_hours"), "value"] == 2
    assert table.loc[("net", "train_hours"), "note"] == "trained on a GPU"
    assert table.loc[("net", "train_energy"), "value"] == 5
    assert table.loc[("net", "ms_per_frame"), "value"] == pytest.approx(4)
    assert table.loc[("net", "frames_per_s"), "value"] == pytest.approx(250)
    assert table.loc[("net", "ms_per_frame"), "note"] == "run on a CPU"
    for key, note in {
        ("net", "energy"): "none",
        ("classical", "train_hours"): "nothing to train",
        ("imported", "train_hours"): "not measured: made by other means than the training stage",
        ("none", "ms_per_frame"): "needs more",
    }.items():
        assert np.isnan(table.loc[key, "value"])
        assert table.loc[key, "note"] == note


def test_costs_of_a_resumed_training_add_up() -> None:
    one = {"device": "A", "seconds": 2.0, "peak_memory_mb": 5.0, "energy_wh": 1.0,
           "energy_note": ""}  # fmt: skip
    two = one | {"device": "B", "peak_memory_mb": 3.0, "energy_wh": None, "energy_note": "no"}
    assert meter.add({}, one) == one
    total = meter.add(meter.add(one, one), two)
    assert total["device"] == "A + B"
    assert total["seconds"] == 6
    assert total["peak_memory_mb"] == 5
    assert total["energy_wh"] is None
    assert total["energy_note"] == "no"
    assert meter.add(one, one)["energy_wh"] == 2


def test_energy_counters_are_read_or_their_lack_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(meter, "RAPL", tmp_path)
    assert meter.energy_j() == (None, "the processor reports no energy")
    for name, value in (("intel-rapl:0", 3_000_000), ("intel-rapl:1", 500_000),
                        ("intel-rapl:0:0", 9_000_000)):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
    assert meter.energy_j() == (3.5, "")  # parts of a package are not counted twice
    spent = meter.Meter()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("7_200_003_000_000".replace("_", ""))
    assert spent.read()["energy_wh"] == pytest.approx(2000)


def test_counts_of_a_split(swept: Frames) -> None:
    table = counts({"test": swept, "all": anechoic_frames(3)}, CELL)
    table = table.set_index(["track", "metric"])
    assert table.loc["test", "value"].to_dict() == {"speakers": 3, "utterances": 5, "frames": 16}
    assert np.isnan(table.loc[("all", "speakers"), "value"])
    assert "do not name their speakers" in table.loc[("all", "speakers"), "note"]


# ------------------------------------------------------------------ properties


SMALL = PREDICTED | {
    "dinn": {"channels": [4, 4, 4, 4], "recurrent": 8},
    "gnn": {"hidden_dim": 16},
}


@pytest.mark.parametrize("name", sorted(set(plugins.modules("methods")) - {"ngcc_phat"}))
def test_methods_are_as_they_say(name: str) -> None:
    """Order of microphones and their number: what a class says agrees with what it does."""
    frames = anechoic_frames(12)
    noise = np.random.default_rng(0).standard_normal(frames.audio.shape)
    frames.audio += (0.6 * frames.audio.std() * noise).astype(np.float32)  # delays disagree a bit
    method = methods.create(name, {"options": SMALL.get(name, {})})
    found = measure(with_model(method, frames), frames)
    assert found["permutation_invariant"] == method.permutation_invariant, found
    assert found["variable_mics"] == method.variable_mics


def test_a_wrong_claim_is_found_out() -> None:
    frames = anechoic_frames(8)
    method = methods.create("srp_phat")
    honest = method.estimate

    def by_order(granted, setup):
        found = honest(granted, setup)
        found.position[:] += 0.001 * granted.mics()[:, 0]
        return found

    method.estimate = by_order
    assert not measure(method, frames)["permutation_invariant"]
    few = frames.select(np.arange(8))
    few = dataclasses.replace(few, audio=few.audio[:, :4], mic_positions=few.mic_positions[:4])
    refused = measure(methods.create("srp_phat"), few)
    assert refused["permutation_invariant"] is None
    assert "at least 5 microphones" in refused["reason"]


# ------------------------------------------------------------------ ranks


def test_ranks_of_known_errors() -> None:
    errors = {
        ("one", "a"): {"x": np.full(20, 0.1), "y": np.full(20, 0.2), "z": np.full(20, np.nan)},
        ("one", "b"): {"x": np.full(20, 0.3), "y": np.full(20, 0.3), "z": np.full(20, 0.1)},
        ("two", "t"): {"x": np.full(9, 0.2), "y": np.full(9, 0.1)},  # z was not run
    }
    table = leaderboard(errors, resamples=1000).set_index(["track", "method"])
    assert table.loc["one", "value"].to_dict() == {"x": 1.75, "y": 2.25, "z": 2.0}
    assert table.loc["two", "value"].to_dict() == {"x": 2.0, "y": 1.0, "z": 3.0}
    assert table.loc["all", "value"].to_dict() == {"x": 1.875, "y": 1.625, "z": 2.5}
    assert (table["ci_low"] == table["ci_high"]).all()  # nothing varies
    assert table.loc[("all", "x"), "n_frames"] == 49


def test_a_rank_that_chance_decides_has_a_wide_interval() -> None:
    rng = np.random.default_rng(0)
    alike = {name: rng.exponential(0.2, 60) for name in "ab"}
    worse = {"c": rng.exponential(1.5, 60)}
    table = leaderboard({("d", "t"): alike | worse}, resamples=1000)
    table = table[table["track"] == "all"].set_index("method")
    assert table.loc["c", ["ci_low", "ci_high"]].tolist() == [3, 3]
    assert table.loc["a", "ci_low"] == 1
    assert table.loc["a", "ci_high"] == 2


# ------------------------------------------------------------------ intervals


@pytest.mark.parametrize(
    ("statistic", "truth"),
    [
        (bootstrap.weighted_mean, 2 / 10),
        (bootstrap.weighted_median, 0.16783469900166612),  # of a gamma distribution of shape 2
        (bootstrap.root_mean, np.sqrt(6) / 10),
    ],
)
def test_intervals_cover_the_truth(statistic, truth: float) -> None:
    """At least 93 % of nominal 95 % intervals, on errors of known distribution."""
    values = np.random.default_rng(3).gamma(2.0, 0.1, (300, 400))
    _, low, high = bootstrap.intervals(statistic, values, np.random.default_rng(4), 1000)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.93


# ------------------------------------------------------------------ cells from predictions


def test_cells_of_three_tables_straight_from_predictions(swept: Frames, tmp_path: Path) -> None:
    """Evaluate and tabulate on the command line; the same cells anew in plain NumPy."""
    rng = np.random.default_rng(7)
    swept.save(tmp_path / "frames")
    error = {"multilat": rng.gamma(1.5, 0.3, 16), "gnn": rng.gamma(1.5, 0.2, 16)}
    error["multilat"][[2, 11]] = np.nan
    error["gnn"][5] = 40.0
    for name, values in error.items():
        answers(swept, values, method=name).save(tmp_path / f"{name}.parquet")
    rows = json.dumps({name: {"label": name, "paper_label": name, "input_types": "", "reference":
                              "", "variable_mics": True, "permutation_invariant": True}
                       for name in error})  # fmt: skip
    frames, found = str(tmp_path / "frames"), [str(tmp_path / f"{name}.parquet") for name in error]
    at = ["--dataset", "faces", "--track", "test", "--mics", "11"]
    spec = {"title": "T", "caption": "c", "dataset": "faces", "setups": ["1a"], "mics": [11]}

    def table(name: str, spec: dict, made: list[str]) -> pd.DataFrame:
        metrics = str(tmp_path / f"{name}-metrics.csv")
        assert cli.main([*made, "--out", metrics]) == 0
        command = ["tables", "--table", name, "--spec", json.dumps(spec), "--methods", rows]
        assert cli.main([*command, "--metrics", metrics, "--out", str(tmp_path / name)]) == 0
        shown = tables.read(tmp_path / f"{name}.csv").set_index(["track", "method", "metric"])
        return shown["value"]

    evaluated = ["evaluate", "--frames", frames, "--predictions", *found, *at]
    first = table("table1", spec | {"layout": "tracks", "tracks": ["test"], "metrics": ["mae"]},
                  evaluated)  # fmt: skip
    by = ["--by", *CONDITIONS]
    second = table("conditions", spec | {"layout": "conditions", "metrics": ["mae"]},
                   [*evaluated, *by])  # fmt: skip
    ranked = ["rank", "--frames", f"faces/test={frames}", "--predictions"]
    ranked += [f"faces/test/{name}={path}" for name, path in zip(error, found, strict=True)]
    board = spec | {"dataset": "all", "mics": [0], "layout": "ranks", "metrics": ["mean_rank"]}
    third = table("leaderboard", board, ranked)

    truth = np.load(tmp_path / "frames" / "source_position.npy")
    capped = {}
    for name, path in zip(error, found, strict=True):
        position = pd.read_parquet(path)[["x", "y", "z"]].to_numpy()
        distance = np.sqrt(((position - truth) ** 2).sum(axis=1))
        capped[name] = np.where(np.isnan(distance) | (distance > 3), 3, distance)
    one, other = capped["multilat"], capped["gnn"]
    best = min(capped.values(), key=np.mean)
    hits = (other < 0.3).mean()
    close = {"abs": 1e-3}
    assert first["test", "multilat", "mae"] == pytest.approx(100 * one.mean(), **close)
    assert first["test", "multilat", "median"] == pytest.approx(100 * np.median(one), **close)
    assert first["test", "gnn", "rmse"] == pytest.approx(100 * np.sqrt((other**2).mean()), **close)
    assert first["test", "gnn", "acc30"] == pytest.approx(100 * hits, **close)
    assert first["test", "multilat", "failure_rate"] == pytest.approx(100 * 2 / 16, **close)
    difference = 100 * (one - best).mean()
    assert first["test", "multilat", "difference_to_best"] == pytest.approx(difference, **close)
    cell = (np.arange(16) // 8 == 1) & (np.arange(16) // 4 % 2 == 0)
    value = second["T60 0.2 s, SNR 0 dB", "gnn", "mae"]
    assert value == pytest.approx(100 * other[cell].mean(), **close)
    rank = 1.0 if one.mean() < other.mean() else 2.0
    assert third["all", "multilat", "mean_rank"] == rank
    assert third["faces", "gnn", "mean_rank"] == 3 - rank


# ------------------------------------------------------------------ the paper's values


# Rows of the wav2pos paper that were at hand. Table I is complete; another paper repeats it.
PRINTED = {"table1": 2 * 5 * 2, "table2": 1, "table5": 3 * 2, "table6": 2 * 2}
PRINTED |= {"table_fault_tolerance": 2 * 5 * 2}
PRINTING = ("multilat", "multilat_ngcc", "dinn", "gnn", "wav2pos", "data")


def test_published_values_stand_in_cells_of_our_tables(root: Path) -> None:
    paper = pd.read_csv(root / "config" / "paper_values.csv", dtype={"setup": str})
    wav2pos = paper[paper["method"].isin(PRINTING)]
    assert wav2pos["table"].value_counts().to_dict() == PRINTED
    specs = config.load(root / "config" / "config.yaml")
    for row in paper.to_dict("records"):
        spec = specs["tables"][row["table"]]
        assert row["track"] in spec["tracks"]
        assert row["setup"] in spec["setups"]
        assert row["mics"] in spec["mics"]
        assert row["metric"] in spec["metrics"]
        entry = specs["methods"].get(row["method"], {"paper_label": "data"})
        assert entry["paper_label"]
    one = wav2pos[wav2pos["table"] == "table1"]
    again = paper[paper["table"] == "table_fault_tolerance"]
    assert (
        again["paper_value"].tolist() == paper[paper["table"] == "table1"]["paper_value"].tolist()
    )
    assert one.groupby(["track", "metric"]).size().tolist() == [5, 5, 5, 5]


def test_reproduction_is_judged_on_the_papers_data_only(tmp_path: Path) -> None:
    base = dict.fromkeys(tables.COLUMNS, np.nan) | {
        "table": "table1", "track": "t", "setup": "1a", "mics": 11, "metric": "mae", "unit": "cm",
        "note": "",
    }  # fmt: skip
    rows = [
        base | {"dataset": d, "method": m, "value": v, "ci_low": v - 1, "ci_high": v + 1,
                "paper_value": 20.0, "note": "gone" if np.isnan(v) else ""}
        for d in ("real", "twin")
        for m, v in (("in", 20.5), ("out", 25.0), ("none", np.nan))
    ]  # fmt: skip
    rows.append(base | {"dataset": "real", "method": "more", "value": 3.0})
    rows[0]["ci_low"] = 20.0  # the border belongs to the interval
    path = tmp_path / "table1.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    view = reproduction.view([path], ["real"]).set_index(["dataset", "method"])
    assert view["verdict"].to_dict() == {
        ("real", "in"): "covered",
        ("real", "out"): "not covered",
        ("real", "none"): "not judged",
        ("twin", "in"): "not judged",
        ("twin", "out"): "not judged",
        ("twin", "none"): "not judged",
    }
    assert view.loc[("real", "none"), "reason"] == "gone"
    assert view.loc[("twin", "in"), "reason"] == "not the paper's data"
    reproduction.write(tmp_path / "view", reproduction.view([path], ["real"]), "Profile x.")
    text = (tmp_path / "view.md").read_text()
    assert "1 of 2 judged cells" in text
    assert "4 could not be judged" in text
    assert reproduction.to_markdown(reproduction.view([path], [])).count("not the paper's") == 6
