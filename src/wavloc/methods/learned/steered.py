"""Steered: candidates where the correlations meet, chosen by what the aligned signals share.

Ours. The tops of a steered power map nearly always contain the source; which of them it is shows in
time and frequency: at the right place the microphones agree at onsets and in the few bands where
the direct path is louder than reverberation. A small network reads those maps for each candidate,
attention compares the candidates, and a softmax over them and "no source" is the posterior.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc import files
from wavloc.audio import SAMPLE_RATE
from wavloc.checks import number, shown
from wavloc.errors import InputError
from wavloc.features import steering
from wavloc.frames import Frames
from wavloc.methods import base, tracking
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.problem import Problem, from_frames
from wavloc.methods.classical.solvers.refine import of_geometry, share_within
from wavloc.methods.classical.solvers.steered import SteeredPower
from wavloc.methods.predictions import LOCATED, Predictions
from wavloc.setups import Setup
from wavloc.weights import load_into, read_weights

WEIGHTS = Path(__file__).parent / "weights" / "steered.safetensors"
WEIGHTS_SHA256 = "751b07f8d5cdd819de33dfadf5abf5771a9f32a99a21aca91029df4db03e0a6a"
CAP_M = 3.0
CALIBRATION = 6  # weights of `calibrated`
CACHED = 12  # candidates whose maps are made at once: more do not fit into the cache
LOWEST = -1e3  # logits below are of candidates that do not count
REFINED_M = 0.1  # most that the refined position is from its candidate
WITHIN_M = 0.3  # of what `confidence` is the probability


@dataclasses.dataclass(frozen=True)
class Options:
    """Nothing here was chosen on test data."""

    weights: str = ""  # file of other weights; empty: those of the package
    tops: tuple[int, ...] = (48, 24, 20, 20, 16)  # of each row's coarse map that are climbed
    kept_share: float = 0.95  # candidates that hold this share of the sieve's posterior go on ...
    fewest: int = 6  # ... at least this many
    most: int = 80  # and at most
    sure: float = 0.5  # posterior of one place above which it is refined on the peaks
    inlier_m: float = 0.025  # how far the peak of a pair may be from that place
    min_confidence: float = 0.6  # below it a position is `uncertain`
    track: bool = False  # a frame's posterior is that given all frames of its track
    block: int = 8  # frames that are treated together


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
        """maps (n, C, T, F) -> (n, width)."""
        return torch.cat([self._read(part) for part in maps.split(2 * CACHED)])

    def _read(self, maps: Tensor) -> Tensor:
        place = torch.linspace(-1, 1, maps.shape[-1], device=maps.device)
        place = place.expand(len(maps), 1, *maps.shape[-2:])
        hidden = self.layers(torch.cat([maps, place], dim=1))
        return self.out(torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], dim=1))


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


class Sieve(nn.Module):
    """The cheap first stage: a logit for each of many candidates out of the power of all rows."""

    INPUTS = 4 * steering.ROWS + 2

    def __init__(self, width: int = 48):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(self.INPUTS, width), nn.GELU(),
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1),
        )  # fmt: skip

    @staticmethod
    def describe(powers: Tensor, present: Tensor) -> Tensor:
        """Powers (B, K, R), the same against the best, ranks, the best: (B, K, INPUTS)."""
        powers = powers.masked_fill(~torch.isfinite(powers), -1.0)
        best = powers.amax(1, keepdim=True)
        rank = powers.argsort(1, descending=True).argsort(1).to(powers.dtype)
        number = present.sum(1, keepdim=True).clamp(min=1).to(powers.dtype)
        common = torch.cat([number.log(), number / 10], -1)[:, None]
        parts = [powers, powers - best, rank / 20, best.expand_as(powers)]
        return torch.cat([*parts, common.expand(*powers.shape[:2], -1)], dim=-1)

    def forward(self, described: Tensor, real: Tensor) -> Tensor:
        """What `describe` returns -> logits (B, K)."""
        return self.layers(described)[..., 0].masked_fill(~real, -1e4)


class SteeredNetwork(nn.Module):
    """Logits of candidates and of "no source", and trust in microphones."""

    SCALARS, PER_MIC = Sieve.INPUTS + 3, 9

    def __init__(
        self,
        channels: tuple[int, int, int] = (16, 32, 64),
        dim: int = 128,
        depth: int = 2,
        heads: int = 4,
    ):
        super().__init__()
        self.sieve = Sieve()
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
        seen = spread(self.maps(inputs["maps"]), inputs["real"])
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


class Given(NamedTuple):
    """Frames with their candidates: audio (B, M, N), mics (B, M, 3) metres, present (B, M), points
    (B, K, 3), sieved (B, K, n) of `Sieve.describe` with its logit (B, K), low where a candidate
    does not count.
    """

    audio: Tensor
    mics: Tensor
    present: Tensor
    points: Tensor
    sieved: Tensor
    logit: Tensor


@torch.no_grad()
def describe(given: Given, frame: int, own: Tensor, rate: int, speed: float) -> dict[str, Tensor]:
    """What the network is given of a frame's ``own`` candidates (K,) bool."""
    audio, mics, present = given.audio[frame], given.mics[frame], given.present[frame]
    points, sieved, logit = (
        given.points[frame, own],
        given.sieved[frame, own],
        given.logit[frame, own],
    )
    spot = torch.where(present[:, None], mics, 0.0)
    unit, magnitude = steering.short_spectra(audio * present[:, None])
    apart = steering.distances(points[None], spot[None])[0].clamp(min=0.05)
    parts = [
        steering.aligned_maps(unit[None], magnitude[None], delay[None], present[None])
        for delay in (apart * (rate / speed)).split(CACHED)
    ]
    maps, agree = (torch.cat(part, dim=1)[0] for part in zip(*parts, strict=True))
    counted = present.to(apart.dtype)
    number = counted.sum().clamp(min=1)
    level = torch.log(audio.square().mean(-1).clamp(min=1e-14)) * 0.5
    level = level - (level * counted).sum() / number
    near = torch.log(apart)
    near_mean = (near * counted).sum(-1, keepdim=True) / number
    expected = level + (near - near_mean)  # 0 where levels fall as 1 / distance
    mean_agree = (agree.mean(-1) * counted).sum(-1, keepdim=True) / number
    per_mic = torch.stack(
        [expected.clamp(-3, 3), level.expand_as(apart).clamp(-3, 3), near, near - near_mean,
         agree.mean(-1) - mean_agree], dim=-1,
    )  # fmt: skip
    per_mic = torch.cat([per_mic, 2 * agree], dim=-1) * counted[:, None]
    centre = spot.sum(0) / number
    extent = (((spot - centre).square().sum(-1) * counted).sum() / number).sqrt().clamp(min=0.1)
    place = (points - centre) / 3
    far = place.norm(dim=-1) * 3 / extent
    scalars = torch.stack([far, extent.log().expand_as(far), logit.clamp(-20, 20)], dim=-1)
    return {
        "maps": maps,
        "per_mic": per_mic,
        "scalars": torch.cat([sieved, scalars], dim=-1),
        "place": place,
    }


def describe_each(given: Given, rate: int, speed: float) -> dict[str, Tensor]:
    """`describe` frame by frame, as the cache holds one, of the candidates that count.

    ``maps`` (n, C, T, F) are of these alone, ``real`` (B, K) tells which they are.
    """
    real = given.logit > LOWEST
    parts = [describe(given, frame, own, rate, speed) for frame, own in enumerate(real)]
    flat = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    inputs = {name: spread(value, real) for name, value in flat.items() if name != "maps"}
    return {"maps": flat["maps"], **inputs, "present": given.present, "real": real}


def spread(values: Tensor, real: Tensor) -> Tensor:
    """Values (n, ...) at the n places that are real (B, K), 0 elsewhere: (B, K, ...)."""
    places = values.new_zeros(*real.shape, *values.shape[1:])
    places[real] = values
    return places


def select(chosen: Tensor, *values: Tensor) -> list[Tensor]:
    """Of values (B, K, ...) the candidates chosen (B, k)."""
    return [
        v.gather(1, chosen.view(*chosen.shape, *[1] * (v.ndim - 2)).expand(-1, -1, *v.shape[2:]))
        for v in values
    ]


def least_expected(points: Tensor, posterior: Tensor, steps: int = 20) -> tuple[Tensor, Tensor]:
    """Point (B, 3) of least expected capped distance from candidates (B, K, 3), and that distance.

    The best candidate, or Weiszfeld's weighted geometric median around it where it does better.
    """
    between = torch.cdist(points, points).clamp(max=CAP_M)
    cost = torch.einsum("bkl,bl->bk", between, posterior)
    least, first = cost.min(1)
    start = select(first[:, None], points)[0][:, 0]
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
    inner: tuple[Tensor, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Candidates ``points`` (B, K, 3), their ``posterior`` (B, K), ``nothing`` (B,), the
    probability that there is no source, ``trust`` (B, M) in microphones, and the ``gcc``.
    """
    spot = torch.where(present[..., None], mics, 0.0)
    widest = float(torch.cdist(spot, spot).max()) * rate / speed
    reach = min(int(np.ceil(widest)) + 8, audio.shape[-1])
    gcc = steering.correlate(audio, present, rate, reach)
    per_m = steering.OVERSAMPLE * rate / speed
    points, powers = steering.candidates(gcc, mics, present, *box, per_m, options.tops, inner)
    described = Sieve.describe(powers, present)
    logit = network.sieve(described, torch.isfinite(powers[..., 0]))
    logit, chosen = logit.topk(min(options.most, logit.shape[1]), 1)
    points, described = select(chosen, points, described)
    shares = logit.softmax(1)
    left = shares.cumsum(1) - shares > options.kept_share  # the better ones hold enough
    left[:, : options.fewest] = False
    logit = logit.masked_fill(left, -1e4)
    inputs = describe_each(Given(audio, mics, present, points, described, logit), rate, speed)
    logits, good = network(inputs)
    shares = logits.softmax(1)
    inside = shares[:, :-1] / shares[:, :-1].sum(1, keepdim=True).clamp(min=1e-9)
    trust = torch.einsum("bk,bkm->bm", inside, good.sigmoid())
    return {"points": points, "posterior": inside, "nothing": shares[:, -1], "trust": trust,
            "gcc": gcc[:, 0]}  # fmt: skip


def decide(points: Tensor, shares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of candidates (B, K, 3) with their posterior (B, K): the point of least expected distance
    (B, 3), the best candidate within 30 cm of it (B, 3), the posterior within them (B,), and that
    distance (B,), each cut at 3 m.
    """
    place, expected = least_expected(points, shares)
    near = shares * ((points - place[:, None]).norm(dim=-1) < WITHIN_M)
    best = select(near.argmax(1)[:, None], points)[0][:, 0]
    return place, best, near.sum(1), expected


def grounds(
    sure: Tensor, expected: Tensor, place: Tensor, mics: Tensor, present: Tensor
) -> np.ndarray:
    """What the confidence in places (B, 3) depends on, (B, 6): that there is a source within 30 cm
    by the posterior, ``sure`` (B,); the expected distance (B,); the number of microphones; how far
    away the place is and how flat the array, which a posterior of candidates hardly knows.
    """
    number = present.sum(1)
    centre = (torch.where(present[..., None], mics, 0.0)).sum(1) / number[:, None].clamp(min=1)
    apart = torch.where(present[..., None], mics - centre[:, None], 0.0)
    extent = (apart.square().sum((1, 2)) / number.clamp(min=1)).sqrt().clamp(min=0.05)
    axes = torch.linalg.svdvals(apart.double()) / number.clamp(min=1)[:, None].sqrt()
    far = ((place - centre).norm(dim=-1) / extent).clamp(0.1, 100)
    logarithms = [number.clamp(min=1), expected.clamp(min=1e-3), far, axes[:, -1].clamp(min=0.02)]
    parts = [sure.clamp(1e-4, 1 - 1e-4).logit(), *(value.log() for value in logarithms)]
    return torch.stack([part.double() for part in (*parts, torch.ones_like(sure))], 1).numpy()


def calibrated(given: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Probability (B,) that errors are below 30 cm, of `grounds`, or those of a track, (B, K): a
    logistic regression, its weights (K,) fitted on rooms of no training.
    """
    return 1 / (1 + np.exp(-given @ np.asarray(weights)))


@functools.cache
def trained(path: Path) -> SteeredNetwork:
    """The network with the weights of a file, for use."""
    if path == WEIGHTS and path.is_file() and files.sha256(path) != WEIGHTS_SHA256:
        raise InputError(f"{path}: other weights than those of this version; install it again")
    network = SteeredNetwork()
    load_into(network, read_weights(path), str(path))
    return network.eval().requires_grad_(False)


def _calibration_of(card: Path) -> list[float]:
    """Weights of `calibrated` in a model card as `wavloc train-steered` writes it."""
    stated = files.read_json(card).get("calibration")
    if not isinstance(stated, list) or len(stated) != CALIBRATION:
        expected = f"expected {CALIBRATION} numbers"
        raise InputError(f"{card}: calibration: {shown(stated)}, {expected}")
    return [number(value, f"{card}: calibration") for value in stated]


class Method(base.Method):
    """Candidates, their posterior, the point of least expected distance, refined on the peaks."""

    min_mics = 4
    searches = True
    Options = Options
    device = torch.device("cpu")
    _calibration: Sequence[float] = (1.0, *[0.0] * (CALIBRATION - 1))

    def to(self, device: str | torch.device) -> Self:
        """Compute there."""
        self.device = torch.device(device)
        return self

    @property
    def gpu(self) -> torch.device | None:
        return self.device if self.device.type == "cuda" else None

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        """As of every method; the short spectra are those of one sample rate."""
        if frames.sample_rate != SAMPLE_RATE:
            return f"{self.name} was trained at {SAMPLE_RATE} Hz, got {frames.sample_rate} Hz"
        if self.options.track and "time_s" not in frames.table:
            return f"{self.name} follows a track and needs times, but the frames have none"
        return super().refusal(frames, setup)

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        weights = Path(self.options.weights or WEIGHTS)
        network = trained(weights).to(self.device)
        self._calibration = _calibration_of(weights.with_suffix(".json"))
        parts: list[dict[str, np.ndarray]] = []

        def solve(block: slice) -> tuple[np.ndarray, ...]:
            found = self._solve(network, frames, block)
            parts.append(found)
            return found["position"], found["status"], found["covariance"]

        predictions = self.in_blocks(frames, self.options.block, solve)
        for name in ("confidence", "reliability", "candidates", "posterior"):
            setattr(predictions, name, np.concatenate([part[name] for part in parts]))
        if self.options.track:
            self.follow(predictions, frames.table["time_s"].to_numpy(float))
        return predictions

    def follow(self, predictions: Predictions, time_s: np.ndarray) -> None:
        """Replace what is said of single frames, at times (F,), by what all say together."""
        located = np.isin(predictions.status, LOCATED)
        given = put_on_track(predictions, located, time_s)
        alone, covariance = predictions.confidence, predictions.covariance
        assert alone is not None
        assert covariance is not None
        if len(time_s) > 1:
            sure = calibrated(given, tracking.CALIBRATION)
            predictions.confidence = np.where(located, sure, alone)
            elsewhere = tracking.elsewhere(predictions.confidence)[:, None, None]
            free = covariance * np.eye(3) > 0  # not across a plane
            predictions.covariance = covariance + free * elsewhere
        verdict = self._verdict(predictions.confidence)
        predictions.status = np.where(located, verdict, predictions.status)

    def _verdict(self, confidence: np.ndarray | None) -> np.ndarray:
        """``ok`` or ``uncertain`` (F,)."""
        assert confidence is not None
        sure = confidence >= self.options.min_confidence
        return np.where(sure, "ok", "uncertain").astype(object)

    def _solve(
        self, network: SteeredNetwork, frames: Frames, block: slice
    ) -> dict[str, np.ndarray]:
        """What is predicted of some frames, by name of the field of `Predictions`."""
        audio = torch.from_numpy(np.array(frames.window(block), np.float32))
        mics = torch.from_numpy(np.array(frames.mics(block), np.float32))
        present = torch.isfinite(audio).all(-1) & torch.isfinite(mics).all(-1)
        audio = torch.where(present[..., None], audio, 0.0)
        present &= (audio - audio.mean(-1, keepdim=True)).abs().amax(-1) > 0
        pairs = audio.shape[1] * (audio.shape[1] - 1) // 2
        problem = from_frames(frames, block, np.zeros((len(audio), pairs, 1)))
        found = self._posterior(network, audio, mics, present, problem, frames)
        points, shares = found["points"], found["posterior"]
        place, best, inside, expected = decide(points, shares)
        step = frames.speed_of_sound / frames.sample_rate / steering.OVERSAMPLE
        power = SteeredPower(problem, found["gcc"].numpy(), step)
        start = best.double().numpy()
        if problem.shells is not None:  # far away the power is long and flat
            start = power.maximum(start[:, None], steering.STEPS_M[0])
            around = (points - place[:, None]).norm(dim=-1)
            near = around < torch.from_numpy(WITHIN_M * problem.scale(start[:, None]))
            refinable = (shares * near).sum(1)
        else:
            refinable = inside
        refined = power.refine_on_peaks(start, self.options.inlier_m)
        sure = (refinable > self.options.sure).numpy()
        position = np.where(sure[:, None], refined, place.double().numpy())
        _, covariance = status_and_covariance(problem, position.copy(), self.options.inlier_m)
        apart = points.double().numpy() - position[:, None]
        spread = np.einsum("bk,bki,bkj->bij", shares.double().numpy(), apart, apart)
        lacking = (present.sum(1) < (3 if frames.in_plane else self.min_mics)).numpy()
        alike = inside * (1 - found["nothing"])
        given = grounds(alike, expected, place, mics, present)
        _, jacobian = problem.linearised(position[:, None])
        pairs_present = (present[:, problem.first] & present[:, problem.second]).numpy()
        left_open = of_geometry(problem, jacobian[:, 0], pairs_present)
        confidence = calibrated(given, self._calibration) * share_within(WITHIN_M, left_open)
        nothing = found["nothing"].numpy() > 0.5
        status = np.where(nothing, "no_source", self._verdict(confidence)).astype(object)
        position[lacking], status[lacking] = np.nan, "no_hypothesis"
        return {
            "position": position,
            "status": status,
            "covariance": np.nan_to_num(covariance) + spread,
            "confidence": np.where(lacking, 0.0, confidence),
            "reliability": np.where(present, found["trust"], np.nan),
            "candidates": points.numpy(),
            "posterior": shares.numpy(),
        }

    def _posterior(
        self,
        network: SteeredNetwork,
        audio: Tensor,
        mics: Tensor,
        present: Tensor,
        problem: Problem,
        frames: Frames,
    ) -> dict[str, Tensor]:
        """`posterior` of frames that share a search box at once, else one by one."""
        given = [tensor.to(self.device) for tensor in (audio, mics, present)]
        inner = None
        if problem.shells is not None:
            inner = (
                torch.tensor(problem.shells.low, dtype=torch.float32, device=self.device),
                torch.tensor(problem.shells.high, dtype=torch.float32, device=self.device),
            )
        low, high = (
            torch.tensor(corner, dtype=torch.float32, device=self.device)
            for corner in (problem.low, problem.high)
        )

        def found(k: slice) -> dict[str, Tensor]:
            sound, places, known = (tensor[k] for tensor in given)
            rest = self.options, frames.sample_rate, frames.speed_of_sound
            box = low[k][0], high[k][0]
            out = posterior(network, sound, places, known, box, *rest, inner)
            return {name: value.cpu() for name, value in out.items()}

        if bool((low == low[:1]).all() and (high == high[:1]).all()):
            return found(slice(None))
        alone = [found(slice(k, k + 1)) for k in range(len(audio))]
        return {name: _joined([part[name] for part in alone]) for name in alone[0]}


def put_on_track(predictions: Predictions, located: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Replace positions, covariance and posterior by those given all frames (in place), at times
    (F,); what their confidence depends on, (F, 4) of `tracking.grounds`.

    A position that was refined on the peaks stays where it is still the best. Frames in which
    nothing was ``located`` (F,) say nothing about a source, and no position is made for those
    without one.
    """
    order = np.argsort(time_s, kind="stable")
    back = np.argsort(order, kind="stable")
    posterior, candidates = predictions.posterior, predictions.candidates
    alone = predictions.confidence
    assert posterior is not None
    assert candidates is not None
    assert alone is not None
    smoothed = tracking.smooth(candidates[order], posterior[order], time_s[order])
    points, shares = (array[back] for array in smoothed)
    place, expected = least_expected(torch.from_numpy(points), torch.from_numpy(shares))
    apart = np.linalg.norm(place.numpy() - predictions.position, axis=1)
    backing = np.where(apart < WITHIN_M, alone, 0.0)
    moved = apart >= REFINED_M
    predictions.position[moved] = place.numpy()[moved]
    away = points - predictions.position[:, None]
    within = (shares * (np.linalg.norm(away, axis=-1) < WITHIN_M)).sum(axis=1)
    predictions.covariance = np.einsum("bk,bki,bkj->bij", shares, away, away)
    predictions.candidates, predictions.posterior = points, shares
    return tracking.grounds(within, expected.numpy(), backing, located, time_s)


def _joined(parts: list[Tensor]) -> Tensor:
    """Parts one below the other; correlations of fewer lags are padded on both sides."""
    longest = max(part.shape[-1] for part in parts)
    if parts[0].ndim == 3 and parts[0].shape[-1] != 3:
        parts = [functional.pad(p, [(longest - p.shape[-1]) // 2] * 2) for p in parts]
    return torch.cat(parts)
