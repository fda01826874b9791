"""Training of the steered network on random rooms that never repeat.

One process renders frames and finds their candidates, another trains. A run that was stopped goes
on with the same command. Frame k of batch b comes from the stream (seed, b, k): the same seed gives
the same data, however the work was interrupted. Each batch is used twice, the second time in
another colour and at other gains, so that both processes are busy.
"""

import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, multiprocessing
from torch.nn import functional
from tqdm import tqdm

from wavloc import files, provenance, seeds
from wavloc.datasets.sound.corpus import Corpus
from wavloc.features import steering
from wavloc.geometry import SPEED_OF_SOUND
from wavloc.methods.learned.steered import (
    CALIBRATION,
    CAP_M,
    WITHIN_M,
    Given,
    Options,
    Sieve,
    SteeredNetwork,
    calibrated,
    decide,
    describe_each,
    grounds,
    posterior,
    select,
)
from wavloc.simulation import random_rooms
from wavloc.simulation.random_rooms import RATE, Corpora

BATCH = 16  # frames of one number of microphones
SHOWN = 24  # candidates of a frame in training
NEAR_STD_M = (0.008, 0.04, 0.2)  # of further ones about the source ...
ADDED = 0.65  # ... in this share of the frames
SPREAD = 1.5  # of the noise on the logits of the sieve by which the others are drawn
KNOWN_ROOM = 0.75  # share of frames whose search box is the room
AHEAD = 12  # batches that wait for the trainer
CALIBRATED = 2000  # frames
PULL = 1e-4  # of the calibration's weights towards zero
DELAY = 100  # new batches until one is repeated

Batch = dict[str, Tensor]


def corpora(folders: dict[str, list[Path]], split: str) -> Corpora:
    """Dry items of one split out of corpus folders by kind."""
    items: Corpora = {}
    for kind, paths in folders.items():
        for path in paths:
            corpus = Corpus.load(path).select(split)
            sounds = [np.array(corpus.audio(k)) for k in range(len(corpus.items))]
            items.setdefault(kind, []).append(sounds)
    return items


def card(folders: dict[str, list[Path]], split: str, steps: int, seed: int) -> dict[str, Any]:
    """What the weights were made of: the beginning of their model card."""
    sounds = {}
    for kind, paths in folders.items():
        corpora_of_kind = [Corpus.load(path) for path in paths]
        sounds[kind] = [
            {key: corpus.meta.get(key) for key in ("source", "seed", "licence")}
            | {"items": len(chosen.items), "speakers": sorted(set(chosen.items["speaker"]))}
            for corpus in corpora_of_kind
            for chosen in [corpus.select(split)]
        ]
    made = {"batches": steps, "frames_in_a_batch": BATCH, "new_batches": steps // 2, "seed": seed}
    return made | {"sounds": sounds, "provenance": provenance.stamp()}


def search_box(
    example: random_rooms.Example, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) of where candidates are looked for: the room, or what is around the array."""
    if rng.random() < KNOWN_ROOM:
        return np.zeros(3), example.room
    margin = rng.uniform(0.3, 2.0)
    source = np.nan_to_num(example.source, nan=float(example.mics.mean()))
    low = np.minimum(example.mics.min(0) - margin, source - 0.1)
    return low, np.maximum(example.mics.max(0) + margin, source + 0.1)


def with_candidates(example: random_rooms.Example, rng: np.random.Generator) -> dict[str, Tensor]:
    """A frame with candidates (K, 3), the last of which are about the source, and their powers."""
    low, high = search_box(example, rng)
    audio, mics = (
        torch.from_numpy(example.audio[None]),
        torch.from_numpy(example.mics[None]).float(),
    )
    present = torch.ones(mics.shape[:2], dtype=torch.bool)
    reach = math.ceil(float(torch.cdist(mics, mics).max()) * RATE / SPEED_OF_SOUND) + 8
    per_m = steering.OVERSAMPLE * RATE / SPEED_OF_SOUND
    gcc = steering.correlate(audio, present, RATE, reach)
    corners = torch.from_numpy(low).float(), torch.from_numpy(high).float()
    points, powers = steering.candidates(gcc, mics, present, *corners, per_m, Options.tops)
    jitter = rng.normal(size=(len(NEAR_STD_M), 3)) * np.array(NEAR_STD_M)[:, None]
    about = np.nan_to_num(example.source, nan=float(low.mean()))
    near = torch.from_numpy(np.clip(about + jitter, low, high)[None]).float()
    at_them = steering.powers_at(gcc, near, mics, present, per_m)
    if rng.random() > ADDED or not np.isfinite(example.source).all():
        at_them = torch.full_like(at_them, -math.inf)
    return {
        "audio": audio[0],
        "mics": mics[0],
        "source": torch.from_numpy(example.source).float(),
        "points": torch.cat([points, near], 1)[0],
        "powers": torch.cat([powers, at_them], 1)[0],
        "faulty": torch.from_numpy(example.faulty),
    }


@torch.inference_mode()
def batches(sounds: Corpora, seed: int, first: int) -> Iterator[Batch]:
    """Batches from number ``first`` on; all frames of one have as many microphones."""
    for number in itertools.count(first):
        count = random_rooms.draw_count(seeds.rng(seed, "random rooms", number))
        frames = []
        for frame in range(BATCH):
            rng = seeds.rng(seed, "random rooms", number, frame)
            frames.append(with_candidates(random_rooms.draw_example(rng, sounds, count), rng))
        yield {key: torch.stack([frame[key] for frame in frames]) for key in frames[0]}


def distances(batch: Batch) -> Tensor:
    """Candidates' distances (B, K) from the source in metres, far where unused, NaN without one."""
    apart = (batch["points"] - batch["source"][:, None]).norm(dim=-1)
    return torch.where(torch.isfinite(batch["powers"][..., 0]) | torch.isnan(apart), apart, 10.0)


def loss_of(
    network: SteeredNetwork, batch: Batch, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts: the sieve on all candidates, the network on `SHOWN` drawn by the sieve
    and those about the source.
    """
    present = torch.ones(batch["mics"].shape[:2], dtype=torch.bool)
    apart, extra = distances(batch), len(NEAR_STD_M)
    described = Sieve.describe(batch["powers"], present)
    logit = network.sieve(described, torch.isfinite(batch["powers"][..., 0]))
    target, reached = targets(apart[:, :-extra].nan_to_num(10.0))
    entropy = -(target * logit[:, :-extra].log_softmax(1)).sum(1)
    sieve = (entropy * reached).sum() / reached.sum().clamp(min=1)
    logit = logit.detach()
    draw = logit - SPREAD * torch.empty_like(logit).exponential_(generator=generator).log()
    draw[:, -extra:] += 1e3  # these always, where they are
    chosen = draw.topk(SHOWN, 1).indices
    points, described, logit, apart = select(chosen, batch["points"], described, logit, apart)
    given = Given(batch["audio"], batch["mics"], present, points, described, logit)
    inputs = describe_each(given, RATE, SPEED_OF_SOUND)
    with torch.autocast("cpu", torch.bfloat16):  # twice as fast where the processor has it
        logits, trust = network(inputs)
    loss, terms = objective(logits.float(), trust.float(), apart, batch["faulty"], present)
    return loss + 0.3 * sieve, {**terms, "sieve": sieve.detach()}


def targets(apart: Tensor) -> tuple[Tensor, Tensor]:
    """Shares (B, K) of candidates ``apart`` metres from the source; whether one is near (B,)."""
    share = torch.exp(-(apart / 0.06).square() / 2) + 0.05 * torch.exp(-(apart / 0.25).square() / 2)
    total = share.sum(1, keepdim=True)
    return share / total.clamp(min=1e-9), total[:, 0] > 1e-3


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
    target, reached = targets(away)
    target = functional.pad(target, (0, 1))
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


def number_at(step: int) -> int:
    """Number of the batch of a step: a new one in every other, between them one from before."""
    new = step // 2
    return new if step % 2 == 0 else max(new - DELAY, new // 2)


def varied(audio: Tensor, generator: torch.Generator) -> Tensor:
    """Audio (B, M, N) of a repeated batch: other time, colour and gains, the same delays."""
    frames, mics, samples = audio.shape
    turn = int(torch.randint(steering.HOP, (1,), generator=generator))
    spectrum = torch.fft.rfft(audio.roll(turn, -1))
    pole = torch.rand(frames, 1, 1, generator=generator) - 0.4
    circle = torch.exp(-2j * math.pi * torch.arange(spectrum.shape[-1]) / samples)
    gain_db = 2 * torch.randn(frames, mics, 1, generator=generator)
    return torch.fft.irfft(spectrum / (1 - pole * circle) * 10 ** (gain_db / 20), samples)


def stream(
    sounds: Corpora, seed: int, done: int, steps: int
) -> Iterator[tuple[Batch, torch.Generator]]:
    """Batches of the steps from ``done`` on, made by another process, each with the generator of
    what is drawn in its step.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(AHEAD)
    first = number_at(done | 1)  # what will be repeated is made again
    producer = context.Process(target=_produce, args=(queue, sounds, seed, first), daemon=True)
    producer.start()
    kept: dict[int, Batch] = {}
    try:
        for step in range(done, steps):
            number = number_at(step)
            while number not in kept:
                kept[first] = {key: torch.from_numpy(value) for key, value in queue.get().items()}
                first += 1
            batch = dict(kept[number])
            kept.pop(number_at(step | 1) - 1, None)
            draw = torch.Generator().manual_seed(
                int(seeds.rng(seed, "steered training", step).integers(2**31))
            )
            if step % 2:
                batch["audio"] = varied(batch["audio"], draw)
            yield batch, draw
    finally:
        producer.terminate()


class Learner:
    """A network in training, and the means of the terms of its loss since they were last shown."""

    def __init__(self, network: SteeredNetwork, peak: float = 1.5e-3):
        self.network, self.peak = network, peak
        decayed = [p for p in network.parameters() if p.ndim > 1]
        free = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": free, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, peak)
        self._totals: dict[str, float] = {}
        self._count = 0

    def learn(self, batch: Batch, draw: torch.Generator, step: int, steps: int) -> None:
        """One step of ``steps``: warm-up, then a cosine."""
        warm = min(1.0, (step + 1) / 300)
        rate = self.peak * warm * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, terms = loss_of(self.network, batch, draw)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self._count += 1
        for name, value in {"loss": loss.detach(), **terms}.items():
            self._totals[name] = self._totals.get(name, 0.0) + float(value)

    def means(self) -> str:
        """Means of the terms, for people; they begin anew."""
        text = ", ".join(f"{name} {v / self._count:.3f}" for name, v in self._totals.items())
        self._totals, self._count = {}, 0
        return text


def train(out: Path, sounds: Corpora, steps: int, seed: int) -> SteeredNetwork:
    """Train for ``steps`` batches; the state in ``out`` is written every 200 and gone on from.

    It uses one thread, beside the one that makes the frames.
    """
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    learner = Learner(SteeredNetwork())
    done = _resume(out, learner)
    started = time.monotonic()
    for step, (batch, draw) in enumerate(stream(sounds, seed, done, steps), done + 1):
        learner.learn(batch, draw, step - 1, steps)
        if step % 200 == 0 or step == steps:
            speed = BATCH * (step - done) / (time.monotonic() - started)
            print(f"step {step} of {steps}: {learner.means()}, {speed:.0f} frames/s", flush=True)
            _keep(out, learner, step)
    if done >= steps:  # it had ended before
        _keep(out, learner, done)
    return learner.network


@torch.inference_mode()
def calibrate(network: SteeredNetwork, sounds: Corpora, seed: int, number: int) -> list[float]:
    """Weights of `calibrated` by ``number`` frames of rooms and sounds that were not trained on."""
    given, hits = [], []
    network.eval()
    for frame in tqdm(range(number), desc="calibrate", disable=None, leave=False):
        rng = seeds.rng(seed, "steered calibration", frame)
        example = random_rooms.draw_example(rng, sounds, random_rooms.draw_count(rng))
        low, high = (torch.from_numpy(corner).float() for corner in search_box(example, rng))
        audio = torch.from_numpy(example.audio[None])
        places = torch.from_numpy(example.mics[None]).float()
        present = torch.ones(places.shape[:2], dtype=torch.bool)
        box = low, high
        found = posterior(network, audio, places, present, box, Options(), RATE, SPEED_OF_SOUND)
        place, _, inside, expected = decide(found["points"], found["posterior"])
        sure = inside * (1 - found["nothing"])
        given.append(grounds(sure, expected, place, places, present)[0])
        hits.append(bool(np.linalg.norm(place[0].numpy() - example.source) < WITHIN_M))

    def cost(weights: np.ndarray) -> float:
        told = calibrated(np.stack(given), weights.tolist()).clip(1e-6, 1 - 1e-6)
        likely = np.where(hits, np.log(told), np.log(1 - told)).mean()
        return PULL * float(np.square(weights).sum()) - float(likely)

    return scipy.optimize.minimize(cost, np.eye(CALIBRATION)[0], method="BFGS").x.tolist()


def _produce(queue, sounds: Corpora, seed: int, first: int) -> None:  # type: ignore[no-untyped-def]  # a queue has no public type
    torch.set_num_threads(1)
    for batch in batches(sounds, seed, first):
        queue.put({key: value.numpy() for key, value in batch.items()})


def _keep(out: Path, learner: Learner, step: int) -> None:
    """Write the state after a step: weights for use, and what is needed to go on."""
    network = learner.network
    moments = {
        f"optimizer.{index}.{key}": torch.as_tensor(value)
        for index, values in learner.optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }
    weights = {f"network.{key}": value for key, value in network.state_dict().items()}
    with files.replacing(out / "state.safetensors") as temporary:
        save_file(moments | weights, temporary, {"step": str(step)})
    with files.replacing(out / "steered.safetensors") as temporary:
        save_file(dict(network.state_dict()), temporary)


def _resume(out: Path, learner: Learner) -> int:
    """Fill network and optimizer from the last state and return its step, or 0."""
    if not (out / "state.safetensors").is_file():
        return 0
    with safe_open(out / "state.safetensors", "pt") as state:
        step = int(state.metadata()["step"])  # of the same file, so that a kill parts nothing
        stored = {name: state.get_tensor(name) for name in state.keys()}  # noqa: SIM118
    weights = {k.removeprefix("network."): v for k, v in stored.items() if k.startswith("network.")}
    learner.network.load_state_dict(weights)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in stored.items():
        part, _, rest = name.partition(".")
        if part == "optimizer":
            index, _, key = rest.partition(".")
            moments.setdefault(int(index), {})[key] = value
    described_groups = learner.optimizer.state_dict()["param_groups"]
    learner.optimizer.load_state_dict({"state": moments, "param_groups": described_groups})
    return step
