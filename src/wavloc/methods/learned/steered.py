"""Steered: candidates where the correlations meet, chosen by what the aligned signals share.

Ours. The tops of a steered power map nearly always contain the source; which of them it is shows in
time and frequency: at the right place the microphones agree at onsets and in the few bands where
the direct path is louder than reverberation. A small network reads those maps for each candidate,
attention compares the candidates, and a softmax over them and "no source" is the posterior.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc.features import steering

CAP_M = 3.0


@dataclasses.dataclass(frozen=True)
class Options:
    """Nothing here was chosen on test data."""

    tops: int = 96  # of the coarse map that are climbed
    budget: int = 264  # candidates times microphones that the network reads ...
    fewest: int = 16  # ... candidates, at least
    most: int = 48  # and at most


class MapReader(nn.Module):
    """Time-frequency maps of a candidate to a vector."""

    def __init__(self, maps: int, channels: tuple[int, int, int], width: int):
        super().__init__()
        first, second, third = channels
        self.layers = nn.Sequential(
            nn.Conv2d(maps + 1, first, 3, (1, 2), 1), nn.GELU(),
            nn.Conv2d(first, second, 3, 2, 1), nn.GELU(),
            nn.Conv2d(second, third, 3, 2, 1), nn.GELU(),
        )  # fmt: skip
        self.out = nn.Linear(2 * third, width)

    def forward(self, maps: Tensor) -> Tensor:
        """maps (..., C, T, F) -> (..., width)."""
        flat = maps.flatten(0, -4)
        place = torch.linspace(-1, 1, maps.shape[-1], device=maps.device)
        place = place.expand(len(flat), 1, *maps.shape[-2:])
        hidden = self.layers(torch.cat([flat, place], dim=1))
        pooled = torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], dim=1)
        return self.out(pooled).view(*maps.shape[:-3], -1)


class MicReader(nn.Module):
    """What each microphone has to do with a candidate, pooled over microphones; and its trust."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.gate = nn.Linear(width, 1)
        self.good = nn.Linear(width, 1)

    def forward(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, K, M, n), present (B, M) -> (B, K, 3 width), logit of trust (B, K, M)."""
        hidden = self.layers(features)
        counted = present[:, None, :, None]
        mean = (hidden * counted).sum(2) / counted.sum(2)
        most = hidden.masked_fill(~counted, -1e4).amax(2)
        gate = self.gate(hidden).masked_fill(~counted, -1e4).softmax(2)
        return torch.cat([mean, most, (gate * hidden).sum(2)], -1), self.good(hidden)[..., 0]


class SteeredNetwork(nn.Module):
    """Logits of candidates and of "no source", and trust in microphones."""

    SCALARS, PER_MIC = 8, 9

    def __init__(
        self,
        channels: tuple[int, int, int] = (16, 32, 64),
        dim: int = 128,
        depth: int = 2,
        heads: int = 4,
    ):
        super().__init__()
        self.maps = MapReader(steering.MAPS, channels, dim)
        self.mics = MicReader(self.PER_MIC, 32)
        self.mix = nn.Sequential(
            nn.Linear(dim + 3 * 32 + self.SCALARS, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.place = nn.Sequential(nn.Linear(3, 32), nn.GELU(), nn.Linear(32, dim))
        self.compare = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, heads, 2 * dim, 0.0, "gelu", batch_first=True,
                                       norm_first=True)
            for _ in range(depth)
        )  # fmt: skip
        self.nothing = nn.Parameter(torch.zeros(dim))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, 1)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """inputs of `describe` -> logits (B, K + 1), the last "no source", and trust (B, K, M)."""
        seen = self.maps(inputs["maps"])
        heard, trust = self.mics(inputs["per_mic"], inputs["present"])
        hidden = self.mix(torch.cat([seen, heard, inputs["scalars"]], dim=-1))
        hidden = hidden + self.place(inputs["place"])
        nothing = self.nothing.expand(len(hidden), 1, -1)
        hidden = torch.cat([hidden, nothing], dim=1)
        unused = functional.pad(~inputs["real"], (0, 1))
        for layer in self.compare:
            hidden = layer(hidden, src_key_padding_mask=unused)
        logits = self.out(self.norm(hidden))[..., 0]
        return logits.masked_fill(unused, -1e4), trust


@torch.no_grad()
def describe(
    audio: Tensor,
    mics: Tensor,
    present: Tensor,
    points: Tensor,
    power: Tensor,
    rate: int,
    speed: float,
) -> dict[str, Tensor]:
    """What the network is given of candidates (B, K, 3) with their steered power (B, K).

    audio (B, M, N); mics (B, M, 3) metres.
    """
    real = torch.isfinite(power)
    power = power.masked_fill(~real, -1.0)
    spot = torch.where(present[..., None], mics, 0.0)
    unit, magnitude = steering.short_spectra(audio * present[..., None])
    apart = steering.distances(points, spot).clamp(min=0.05)
    maps, agree = steering.aligned_maps(unit, magnitude, apart * (rate / speed), present)
    counted = present[:, None].to(apart.dtype)
    number = counted.sum(-1, keepdim=True).clamp(min=1)
    level = torch.log(audio.square().mean(-1).clamp(min=1e-14))[:, None] * 0.5
    level = level - (level * counted).sum(-1, keepdim=True) / number
    near = torch.log(apart)
    near_mean = (near * counted).sum(-1, keepdim=True) / number
    expected = level + (near - near_mean)  # 0 where levels fall as 1 / distance
    mean_agree = (agree.mean(-1) * counted).sum(-1, keepdim=True) / number
    per_mic = torch.stack(
        [expected.clamp(-3, 3), level.expand_as(apart).clamp(-3, 3), near, near - near_mean,
         agree.mean(-1) - mean_agree], dim=-1,
    )  # fmt: skip
    per_mic = torch.cat([per_mic, 2 * agree], dim=-1) * counted[..., None]
    centre = (spot * present[..., None]).sum(1) / number[:, 0]
    spread = ((spot - centre[:, None]).square().sum(-1) * present).sum(1, keepdim=True)
    spread = (spread / number[:, 0]).sqrt().clamp(min=0.1)
    place = (points - centre[:, None]) / 3
    best = power.amax(1, keepdim=True)
    ordered = power.argsort(1, descending=True).argsort(1).to(power.dtype)
    common = torch.cat([number[:, 0].log(), number[:, 0] / 10, spread.log()], -1)
    scalars = torch.stack(
        [power, power - best, ordered / 20, best.expand_as(power),
         place.norm(dim=-1) * 3 / spread], dim=-1,
    )  # fmt: skip
    scalars = torch.cat([scalars, common[:, None].expand(-1, points.shape[1], -1)], dim=-1)
    return {
        "maps": maps,
        "per_mic": per_mic,
        "scalars": scalars,
        "place": place,
        "present": present,
        "real": real,
    }


def describe_each(batch: tuple[Tensor, ...], rate: int, speed: float) -> dict[str, Tensor]:
    """`describe` of audio, mics, present, points and power, frame by frame: the cache holds one."""
    parts = []
    for audio, mics, present, points, power in zip(*(v.split(1) for v in batch), strict=True):
        parts.append(describe(audio, mics, present, points, power, rate, speed))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def objective(
    logits: Tensor, trust: Tensor, apart: Tensor, faulty: Tensor, present: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts. apart (B, K): distance of candidates from the source in metres, NaN
    where there is none; faulty (B, M).

    Cross-entropy with targets that favour candidates near the source, the expected capped error,
    and whether microphones are broken, told at the candidate that is nearest the source.
    """
    there = torch.isfinite(apart).any(1)
    away = apart.nan_to_num(10.0)
    target = torch.exp(-(away / 0.06).square() / 2) + 0.05 * torch.exp(-(away / 0.25).square() / 2)
    reached = target.sum(1) > 1e-3
    target = functional.pad(target / target.sum(1, keepdim=True).clamp(min=1e-9), (0, 1))
    target[~there, -1] = 1
    log = logits.log_softmax(1)
    entropy = -(target * log).sum(1) * (reached | ~there)
    posterior = log[:, :-1].exp()
    missed = log[:, -1].exp()
    expected = (posterior * away.clamp(max=CAP_M)).sum(1) + missed * CAP_M
    expected = expected * there
    nearest = away.argmin(1)
    told = trust.gather(1, nearest[:, None, None].expand(-1, 1, trust.shape[2]))[:, 0]
    counted = present & there[:, None] & (away.amin(1) < 0.3)[:, None]
    broken = functional.binary_cross_entropy_with_logits(
        told, (~faulty).to(told.dtype), reduction="none"
    )
    broken = (broken * counted).sum() / counted.sum().clamp(min=1)
    loss = entropy.mean() + 0.5 * expected.mean() + 0.2 * broken
    parts = {"entropy": entropy.mean(), "expected_m": expected.mean(), "broken": broken}
    return loss, {name: value.detach() for name, value in parts.items()}


def least_expected(points: Tensor, posterior: Tensor, steps: int = 20) -> tuple[Tensor, Tensor]:
    """Point (B, 3) of least expected capped distance from candidates (B, K, 3), and that distance.

    The best candidate, or Weiszfeld's weighted geometric median around it where it does better.
    """
    between = torch.cdist(points, points).clamp(max=CAP_M)
    cost = torch.einsum("bkl,bl->bk", between, posterior)
    least, first = cost.min(1)
    start = points.gather(1, first[:, None, None].expand(-1, 1, 3))[:, 0]
    place = start
    for _ in range(steps):
        away = (points - place[:, None]).norm(dim=-1)
        weight = posterior * (away < CAP_M) / away.clamp(min=0.02)
        place = (points * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1e-12)
    away = (points - place[:, None]).norm(dim=-1).clamp(max=CAP_M)
    moved = (posterior * away).sum(1)
    better = moved < least - 0.02
    return torch.where(better[:, None], place, start), torch.minimum(moved, least)


@torch.inference_mode()
def posterior(
    network: SteeredNetwork,
    audio: Tensor,
    mics: Tensor,
    present: Tensor,
    box: tuple[Tensor, Tensor],
    options: Options,
    rate: int,
    speed: float,
) -> dict[str, Tensor]:
    """Candidates ``points`` (B, K, 3), their ``posterior`` (B, K), ``nothing`` (B,), the
    probability that there is no source, ``trust`` (B, M) in microphones, and the ``gcc``.
    """
    spot = torch.where(present[..., None], mics, 0.0)
    reach = int(np.ceil(float(torch.cdist(spot, spot).max()) * rate / speed)) + 8
    gcc = steering.correlate(audio, present, rate, reach)
    kept = int(np.clip(options.budget // audio.shape[1], options.fewest, options.most))
    per_m = steering.OVERSAMPLE * rate / speed
    points, power = steering.candidates(gcc, mics, present, *box, per_m, options.tops, kept)
    inputs = describe_each((audio, mics, present, points, power), rate, speed)
    logits, good = network(inputs)
    shares = logits.softmax(1)
    inside = shares[:, :-1] / shares[:, :-1].sum(1, keepdim=True).clamp(min=1e-9)
    trust = torch.einsum("bk,bkm->bm", inside, good.sigmoid())
    return {"points": points, "posterior": inside, "nothing": shares[:, -1], "trust": trust,
            "gcc": gcc}  # fmt: skip
