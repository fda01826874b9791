"""Models made from the authors' published checkpoints."""

from pathlib import Path
from typing import Any

from wavloc import files, weights
from wavloc.audio import SAMPLE_RATE
from wavloc.checkpoints import authors
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.geometry import LUVIRA_MICS, SPEED_OF_SOUND, max_lag
from wavloc.methods.learned import ngcc_phat, wav2pos
from wavloc.methods.learned.base import MODEL, MORE, DataStats, LearnedMethod

HEADS = 4  # of attention; the one size that weights do not show


def model(checkpoint: Path, train: Frames | None, out: Path) -> LearnedMethod[Any]:
    """Write the model folder of a published NGCC-PHAT or wav2pos checkpoint.

    train: frames that wav2pos was trained on, for its normalisation, which no checkpoint holds.
    """
    state = weights.read(checkpoint)
    where = str(checkpoint)
    method: LearnedMethod[Any]
    if "patch_embed.proj.weight" in state:
        method = _wav2pos(state, train, where)
    else:
        network = authors.build_ngcc(state, where)
        method = ngcc_phat.Method({"channels": network.sizes["channels"]})
        method.stats = DataStats(
            mics=0,
            samples=FRAME_SAMPLES,
            sample_rate=SAMPLE_RATE,
            speed_of_sound=SPEED_OF_SOUND,
            max_lag=max_lag(LUVIRA_MICS, SAMPLE_RATE, SPEED_OF_SOUND),
            position_mean=(0.0, 0.0, 0.0),
            position_std=(1.0, 1.0, 1.0),
        )
        method.network = network
    method.training_note = {"imported": checkpoint.name}
    with files.replacing_folder(out, MODEL, MORE) as temporary:
        method.save(temporary)
    return method


def _wav2pos(state: weights.State, train: Frames | None, where: str) -> wav2pos.Method:
    if train is None:
        raise InputError(
            f"{where}: a wav2pos checkpoint does not say how coordinates were normalised; "
            "give --train FRAMES, the frames it was trained on"
        )
    network = authors.build_wav2pos(state, HEADS, where)
    sizes = authors.wav2pos_sizes(network.state_dict(), HEADS)
    lags, _ = sizes.pop("lags"), sizes.pop("samples")
    has_ngcc = any(key.startswith("ngcc.") for key in state)
    features = "none" if not lags else "ngcc" if has_ngcc else "gcc"
    method = wav2pos.Method(sizes | {"features": features, "max_lag": lags // 2})
    if has_ngcc:
        method.correlations.ngcc = authors.build_ngcc(state, where).requires_grad_(False)
    method.prepare(train)
    method.network = network
    return method
