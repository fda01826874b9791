"""Models made from the authors' published checkpoints."""

from __future__ import annotations

from pathlib import Path

from wavloc import files, weights
from wavloc.audio import SAMPLE_RATE
from wavloc.checkpoints import authors as published
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.geometry import LUVIRA_MICS, SPEED_OF_SOUND, max_lag
from wavloc.methods.learned import multilat_ngcc, wav2pos
from wavloc.methods.learned.base import MODEL, MORE, Facts, LearnedMethod

HEADS = 4  # of attention; the one size that weights do not show


def model(checkpoint: Path, train: Frames | None, out: Path) -> LearnedMethod:
    """Write the model folder of a published NGCC-PHAT or wav2pos checkpoint.

    train: frames that wav2pos was trained on; the normalisation of its coordinates, which no
    checkpoint holds, is taken from their source positions.
    """
    state = weights.read(checkpoint)
    where = str(checkpoint)
    if "patch_embed.proj.weight" in state:
        method = _wav2pos(state, train, where)
    else:
        network = published.build_ngcc(state, where)
        sizes = published.ngcc_sizes(network.state_dict())
        method = multilat_ngcc.Method({"channels": sizes["channels"]}, "multilat_ngcc")
        lag = max_lag(LUVIRA_MICS, SAMPLE_RATE, SPEED_OF_SOUND)
        method.facts = Facts(
            mics=0,
            samples=FRAME_SAMPLES,
            sample_rate=SAMPLE_RATE,
            speed_of_sound=SPEED_OF_SOUND,
            max_lag=lag,
            centre=(0.0, 0.0, 0.0),
            spread=(1.0, 1.0, 1.0),
        )
        method.network = network
    method.training_note = {"imported": checkpoint.name}
    with files.replacing_folder(out, MODEL, MORE) as temporary:
        method.save(temporary)
    return method


def _wav2pos(
    state: dict[str, published.Tensor], train: Frames | None, where: str
) -> wav2pos.Method:
    if train is None:
        raise InputError(
            f"{where}: a wav2pos checkpoint does not say how coordinates were normalised; "
            "give --train FRAMES, the frames it was trained on"
        )
    network = published.build_wav2pos(state, HEADS, where)
    own = published.wav2pos_sizes(network.state_dict(), HEADS)
    has_ngcc = any(key.startswith("ngcc.") for key in state)
    options = {key: own[key] for key in own if key not in ("samples", "row")} | {
        "features": "none" if not own["row"] else "ngcc" if has_ngcc else "gcc",
        "max_lag": own["row"] // 2,
    }
    method = wav2pos.Method(options, "wav2pos")
    if has_ngcc:
        method.ngcc = published.build_ngcc(state, where).requires_grad_(False)
    method.prepare(train)
    method.network = network
    return method
