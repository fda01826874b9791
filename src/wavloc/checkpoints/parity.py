"""Comparison of our networks with stored outputs of the reference networks, array by array."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavloc import weights
from wavloc.checkpoints import authors
from wavloc.errors import InputError
from wavloc.features import gcc_torch as correlation
from wavloc.methods.learned.layers import standardise
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.methods.learned.wav2pos import Wav2Pos, losses

AUDIO_WEIGHT = 0.1
TOLERANCE = {
    **dict.fromkeys(("features", "logits", "gccphat", "backbone", "cc"), 2e-4),
    **dict.fromkeys(("pred_audio", "latent", "decoded"), 2e-5),
    **dict.fromkeys(("pred_locs", "loss"), 3e-5),
    "sinc": 1e-6,
    "grad_norm": 1e-4,  # relative
}


class Row(NamedTuple):
    """One compared array: largest absolute difference (relative for gradient norms) and bound."""

    name: str
    difference: float
    tolerance: float

    @property
    def good(self) -> bool:
        return self.difference <= self.tolerance


def compare(case: str | Path, checkpoint: str | Path | None = None) -> list[Row]:
    """Run the networks on a case file. checkpoint: published weights of NGCC-PHAT."""
    stored = _read(Path(case))
    ngcc = None
    if checkpoint:
        ngcc = authors.build_ngcc(weights.read(checkpoint), str(checkpoint))
    if "param_keys" in stored:
        rows = list(_wav2pos(stored, ngcc, str(case)))
    elif "multi_audio" in stored or "x1" in stored:
        if ngcc is None:
            raise InputError(f"{case}: an NGCC-PHAT case needs --checkpoint FILE")
        rows = list(_ngcc(stored, ngcc))
    else:
        raise InputError(f"{case}: not a parity case (found: {sorted(stored)[:8]} ...)")
    if not rows:
        raise InputError(f"{case}: holds nothing to compare")
    return rows


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path}: no such case file")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not readable as .npz ({error})") from None


def _row(name: str, ours: Tensor | np.ndarray, theirs: np.ndarray, relative: bool = False) -> Row:
    ours = ours.detach().numpy() if isinstance(ours, Tensor) else ours
    if ours.shape != theirs.shape:
        raise InputError(f"{name}: shape {theirs.shape} in the case, {ours.shape} here")
    difference = np.abs(ours.astype(np.float64) - theirs)
    if relative:
        difference = difference / np.maximum(np.abs(theirs), 1e-12)
    stem = name.rpartition("/")[2].removeprefix("multi_")
    kind = next(key for key in TOLERANCE if stem.startswith(key))
    return Row(name, float(difference.max()), TOLERANCE[kind])


@torch.no_grad()
def _ngcc(stored: Mapping[str, np.ndarray], network: NGCC) -> Iterator[Row]:
    tensor = {name: torch.from_numpy(value) for name, value in stored.items() if value.ndim}
    ours: dict[str, Tensor] = {"sinc_filters": network.bank.filters()}
    if "x1" in stored:
        pair = torch.cat([tensor["x1"], tensor["x2"]], dim=1)
        embedded = network.embed(pair.flatten(0, 1)).unflatten(0, pair.shape[:2])
        ours |= {"backbone_mean": embedded.mean(-1), "backbone_std": embedded.std(-1)}
        ours["backbone_pair0_x1_first16"] = embedded[0, 0, :16]
        if "backbone_time_index" in stored:
            ours["backbone_samples"] = embedded[..., tensor["backbone_time_index"].long()]
        spectrum = torch.fft.rfft(embedded, 2 * pair.shape[-1])
        for name, theirs in stored.items():
            lag = theirs.shape[-1] // 2 if theirs.ndim else 0
            if name.startswith("logits_tau") and not name.endswith("_f64"):
                ours[name] = network(pair[:, 0], pair[:, 1], lag)
            elif name.startswith("gccphat_tau"):
                ours[name] = correlation.gcc_phat(pair, lag)[:, 0]
            elif name.startswith("cc_tau"):
                ours[name] = correlation.whitened(spectrum[:, 0], spectrum[:, 1], lag)
    if "multi_audio" in stored:
        lag = stored["multi_features"].shape[-1] // 2
        ours["multi_features"] = network.all_pairs(tensor["multi_audio"], lag)
        ours["multi_gccphat"] = correlation.gcc_features(tensor["multi_audio"], lag)
    yield from (_row(name, ours[name], theirs) for name, theirs in stored.items() if name in ours)


def _wav2pos(stored: Mapping[str, np.ndarray], ngcc: NGCC | None, where: str) -> Iterator[Row]:
    settings = json.loads(str(stored["config"]))
    state = {
        key.removeprefix("state/"): torch.from_numpy(value)
        for key, value in stored.items()
        if key.startswith("state/")
    }
    network = authors.build_wav2pos(state, settings["num_heads"], where)
    network.pairwise_encoding = bool(settings.get("use_posenc", True))
    audio = torch.from_numpy(stored["audio"])[:, 0]
    positions = torch.from_numpy(stored["locations"])
    for case in sorted({key.split("/")[0] for key in stored if key.endswith("/ids_keep")}):
        known = torch.zeros(len(audio), 2 * audio.shape[1], dtype=torch.bool)
        known.scatter_(1, torch.from_numpy(stored[f"{case}/ids_keep"]), True)
        yield from _wav2pos_case(stored, case, network, ngcc, audio, positions, known)


def _wav2pos_case(
    stored: Mapping[str, np.ndarray],
    case: str,
    network: Wav2Pos,
    ngcc: NGCC | None,
    audio: Tensor,
    positions: Tensor,
    known: Tensor,
) -> Iterator[Row]:
    """known (B, 2 M + 2): coordinates, then audio, as the case keeps them."""
    position_known, audio_known = known.chunk(2, dim=1)
    theirs = stored.get(f"{case}/features")
    gcc = None
    if theirs is not None:
        lag = theirs.shape[-1] // 2
        sound = audio[audio_known].reshape(len(audio), -1, audio.shape[-1])
        plain = correlation.gcc_features(sound, lag)
        if np.abs(theirs).max() < 1.5:  # correlations, not logits
            yield _row(f"{case}/features", plain, theirs)
        elif ngcc is not None:
            yield _row(f"{case}/features", ngcc.all_pairs(sound, lag), theirs)
        gcc = _in_place(torch.from_numpy(theirs), audio_known)
    output = network(audio, positions, audio_known, position_known, gcc)
    ours = {
        "latent": output.encoded[known].reshape(len(known), -1, output.encoded.shape[-1]),
        "decoded": output.decoded,
        "pred_locs": output.positions,
        "pred_audio": output.audio,
    }
    for name in [name for name in ours if f"{case}/{name}" in stored]:
        yield _row(f"{case}/{name}", ours[name], stored[f"{case}/{name}"])
    clean = standardise(audio)
    sound, place = losses(output, positions, clean, audio_known, position_known)
    yield _row(f"{case}/loss_audio", sound, stored[f"{case}/loss_audio"])
    yield _row(f"{case}/loss_locs", place, stored[f"{case}/loss_locs"])
    network.zero_grad()
    (AUDIO_WEIGHT * sound + place).backward()
    parameters = dict(network.named_parameters())
    norms = []
    for key in stored["param_keys"].tolist():
        gradient = parameters[authors.our_name(key, authors.WAV2POS_NAMES, case)].grad
        norms.append(0.0 if gradient is None else float(gradient.double().norm()))
    yield _row(f"{case}/grad_norm", np.array(norms), stored[f"{case}/grad_norm"], relative=True)


def _in_place(gcc: Tensor, known: Tensor) -> Tensor:
    """Correlations of the pairs of known channels (B, K (K - 1), L) among those of all channels."""
    batch, count = known.shape
    channel = known.nonzero()[:, 1].reshape(batch, -1)  # (B, K)
    whole = gcc.new_zeros(batch, count, count, gcc.shape[-1])
    i, j = correlation.ordered_pairs(channel.shape[1])
    whole[torch.arange(batch)[:, None], channel[:, i], channel[:, j]] = gcc
    i, j = correlation.ordered_pairs(count)
    return whole[:, i, j]
