"""Weights in the layout of the authors' public checkpoints (NGCC-PHAT, wav2pos), read safely.

Only the names of tensors and their shapes are used; a checkpoint that holds code is refused.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from wavloc import weights
from wavloc.errors import InputError
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.methods.learned.wav2pos import Wav2Pos

State = weights.State
Network = TypeVar("Network", bound=nn.Module)

# Pattern of a published name -> our name; the first that fits the whole name counts.
NGCC_NAMES = {
    r"backbone\.conv\.0\.(low_hz|band_hz)_": r"bank.\1",
    r"backbone\.conv\.1\.(\w+)": r"backbone.0.\1",
    r"backbone\.conv\.2\.(\w+)": r"backbone.1.\1",
    r"backbone\.conv\.3\.(\w+)": r"backbone.2.\1",
    r"backbone\.bn\.(\d)\.(\w+)": r"backbone_norms.\1.\2",
    r"mlp\.(\d)\.0\.(\w+)": r"head.\1.\2",
    r"mlp\.(\d)\.1\.(\w+)": r"head_norms.\1.\2",
    r"final_conv\.(\w+)": r"final.\1",
}
WAV2POS_NAMES = {
    r"patch_embed\.proj\.(\w+)": r"audio_in.\1",
    r"patch_embed\.projT\.(\w+)": r"audio_out.\1",
    r"patch_norm\.(\w+)": r"unused_norm.\1",
    r"encoder_embed_locs\.0\.(\w+)": r"coordinates.first.\1",
    r"encoder_embed_locs\.1\.bn\.(\w+)": r"coordinates.norm1.\1",
    r"encoder_embed_locs\.3\.(\w+)": r"coordinates.second.\1",
    r"encoder_embed_locs\.4\.bn\.(\w+)": r"coordinates.norm2.\1",
    r"enc_audio_modality": "encoder_audio",
    r"enc_loc_modality": "encoder_position",
    r"dec_audio_modality": "decoder_audio",
    r"dec_loc_modality": "decoder_position",
    r"mask_token_source": "mask_source",
    r"mask_token_mic": "mask_position",
    r"mask_token_audio": "mask_audio",
    r"blocks\.(.+)": r"encoder.\1",
    r"decoder_blocks\.(.+)": r"decoder.\1",
    r"norm\.(\w+)": r"encoder_norm.\1",
    r"decoder_norm\.(\w+)": r"decoder_norm.\1",
    r"decoder_embed\.(\w+)": r"bridge.\1",
    r"decoder_max\.(\w+)": r"pool.\1",
    r"get_decoder_mic_feature\.(\d)\.(\w+)": r"of_audio.\1.\2",
    r"decoder_fproj\.0\.(\w+)": r"of_audio.3.\1",
    r"decoder_fproj\.1\.(\w+)": r"of_audio.4.\1",
    r"get_decoder_audio_features\.(\d)\.(\w+)": r"of_position.\1.\2",
    r"loc_mlp\.0\.(\w+)": r"pairs.first.\1",
    r"loc_mlp\.1\.bn\.(\w+)": r"pairs.norm.\1",
    r"loc_mlp\.3\.(\w+)": r"pairs.second.\1",
    r"loc_proj\.(\w+)": r"pairs.out.\1",
} | {
    pattern.format(theirs): name.format(ours)
    for theirs, ours in (("decoder_pred_source", "source_head"), ("decoder_pred_locs", "mic_head"))
    for pattern, name in (
        (r"{}\.0\.(\w+)", r"{}.first.\1"),
        (r"{}\.1\.bn\.(\w+)", r"{}.norm1.\1"),
        (r"{}\.3\.(\w+)", r"{}.second.\1"),
        (r"{}\.4\.bn\.(\w+)", r"{}.norm2.\1"),
        (r"{}\.6\.(\w+)", r"{}.last.\1"),
    )
}
# Within transformer blocks.
BLOCK_NAMES = {
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.out",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}


def ngcc_state(state: Mapping[str, Tensor], where: str) -> State:
    """Our names for the NGCC-PHAT part of a published state dict, under any of its prefixes."""
    for prefix in ("ngcc.ngcc.", "ngcc.", ""):
        part = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        if "final_conv.weight" in part:
            return _renamed(part, NGCC_NAMES, where)
    raise InputError(f"{where}: no NGCC-PHAT weights (key 'final_conv.weight' is missing)")


def wav2pos_state(state: Mapping[str, Tensor], where: str) -> State:
    """Our names and shapes for the wav2pos part of a published state dict, without its NGCC."""
    own = {key: value for key, value in state.items() if not key.startswith("ngcc.")}
    if "patch_embed.proj.weight" not in own:
        raise InputError(f"{where}: no wav2pos weights (key 'patch_embed.proj.weight' is missing)")
    renamed = _renamed(own, WAV2POS_NAMES, where)
    for name, value in renamed.items():
        if value.ndim == 3 and value.shape[:2] == (1, 1):  # tokens
            renamed[name] = value[0, 0]
        elif name == "audio_in.weight":  # a convolution over the whole frame
            renamed[name] = value.flatten(1)
    return renamed


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str], where: str) -> State:
    return {
        our_name(key, names, where): value.float()
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }


def our_name(key: str, names: Mapping[str, str], where: str) -> str:
    """Our name of a published weight; an unknown one is an `InputError`."""
    for pattern, name in names.items():
        if match := re.fullmatch(pattern, key):
            ours = match.expand(name)
            for theirs, block in BLOCK_NAMES.items():
                ours = ours.replace(theirs, block)
            return ours
    raise InputError(f"{where}: unexpected key '{key}'")


def ngcc_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments of `NGCC` that fit a state dict in our names."""
    return {
        "channels": state["bank.low_hz"].shape[0],
        "kernels": tuple(state[f"head.{k}.weight"].shape[-1] for k in range(3)),
        "final_kernel": state["final.weight"].shape[-1],
    }


def wav2pos_sizes(state: Mapping[str, Tensor], heads: int) -> dict[str, Any]:
    """Constructor arguments of `Wav2Pos` that fit a state dict in our names."""
    embed_dim, samples = state["audio_in.weight"].shape

    def depth(part: str) -> int:
        return len({key.split(".")[1] for key in state if re.match(rf"{part}\.\d+\.", key)})

    pairs = state.get("pairs.first.weight")
    lags = 0 if pairs is None else pairs.shape[1] - 2 * embed_dim
    hidden = [state[f"source_head.{k}.weight"].shape for k in ("first", "second")]
    return {
        "samples": samples,
        "embed_dim": embed_dim,
        "encoder_depth": depth("encoder"),
        "decoder_depth": depth("decoder"),
        "heads": heads,
        "lags": lags,
        "max_pooling": hidden[0][1] // embed_dim - bool(lags) == 2,
        "coordinate_hidden": state["coordinates.first.weight"].shape[0],
        "pair_hidden": 512 if pairs is None else pairs.shape[0],
        "head_hidden": tuple(shape[0] for shape in hidden),
    }


def build_ngcc(state: Mapping[str, Tensor], where: str) -> NGCC:
    """NGCC-PHAT from a published state dict, in eval mode."""
    return _built(NGCC, ngcc_state(state, where), ngcc_sizes, where)


def build_wav2pos(state: Mapping[str, Tensor], heads: int, where: str) -> Wav2Pos:
    """wav2pos (without its NGCC) from a published state dict, in eval mode."""
    sizes = functools.partial(wav2pos_sizes, heads=heads)
    return _built(Wav2Pos, wav2pos_state(state, where), sizes, where)


def _built(
    kind: type[Network], state: State, sizes: Callable[[State], dict[str, Any]], where: str
) -> Network:
    try:
        network = kind(**sizes(state))
    except KeyError as error:
        raise InputError(f"{where}: weight {error} is missing") from None
    weights.load_into(network, state, where)
    return network.eval()
