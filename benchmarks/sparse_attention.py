"""What keeping the top T of the pairs saves the fault-tolerant network, against keeping all.

    python benchmarks/sparse_attention.py [--mics 6 11 16 32 64] [--top-t 0.1 0.3 0.5] --json OUT

Published sizes; the part of the network that the pairs pass: pair tokens, cross-attention of all
tokens to them, its forward and backward pass. ``dense`` keeps all pairs. ``masked`` computes all
weights and zeroes all but the top T of each query (what sparsity on paper costs). ``query`` gathers
the top T of each query and head, ``frame`` the top T most coherent pairs before anything else.
FLOPs are counted; memory is what the forward pass keeps for the backward pass, plus its inputs;
times are CPU seconds of one thread, taken in turns, and ratios are of the two times of one round.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from unittest import mock

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wavloc import files, provenance
from wavloc.methods.learned import layers
from wavloc.methods.learned.fault_tolerant import FaultTolerant

WIDTH, HEADS, ROW = 256, 4, 629
WAYS = ("dense", "masked", "query", "frame")


def masked(query: Tensor, key: Tensor, value: Tensor, present: Tensor, top_t: float) -> Tensor:
    """Top-T of each query on a dense matrix of weights."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    place, kept = layers.strongest(scores, present[:, None, None], top_t)
    keep = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, place, kept)
    return scores.masked_fill(~keep, float("-inf")).softmax(-1) @ value


class PairStream(torch.nn.Module):
    """The part of `FaultTolerant` whose cost grows with the number of pairs."""

    def __init__(self, way: str, top_t: float):
        super().__init__()
        self.way = way
        self.network = FaultTolerant(
            1, 1, WIDTH, 0, 0, HEADS, ROW,
            top_t=1.0 if way == "dense" else top_t,
            keep="frame" if way == "frame" else "query",
        )  # fmt: skip

    def forward(self, tokens: Tensor, rows: Tensor, agreement: Tensor) -> Tensor:
        """tokens (B, 2 M, width), rows (B, M (M - 1), row), agreement (B, M (M - 1) / 2)."""
        count = tokens.shape[1] // 2
        heard = torch.ones(len(tokens), count, dtype=torch.bool)
        pairs, counted = self.network.pair_tokens(tokens[:, :count], rows, agreement, heard)
        sparse = masked if self.way == "masked" else layers.sparse_attention
        with mock.patch.object(layers, "sparse_attention", sparse):
            return self.network.to_pairs(tokens, pairs, counted)


def step(stream: PairStream, inputs: tuple[Tensor, ...]) -> None:
    """Forward and backward pass."""
    stream(*inputs).square().mean().backward()
    stream.zero_grad(set_to_none=True)


def flops(stream: PairStream, inputs: tuple[Tensor, ...]) -> int:
    """Of forward and backward pass; sums of gathered values, which torch does not count, added."""
    # Only plain matrix products are counted on a CPU, not the fused attention.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step(stream, inputs)
    tokens, rows, _ = inputs
    gathered = 0
    if stream.way == "query":
        kept = max(1, int(np.ceil(stream.network.top_t * rows.shape[1] - layers.ROUNDING)))
        gathered = 3 * 2 * tokens.shape[0] * tokens.shape[1] * kept * WIDTH
    return counter.get_total_flops() + gathered


def held(stream: PairStream, inputs: tuple[Tensor, ...]) -> int:
    """Bytes kept for the backward pass: distinct storages that are no parameters."""
    known = {p.untyped_storage().data_ptr() for p in stream.parameters()}
    sizes: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        kept = stream(*inputs)  # alive, so that no storage is used twice
    del kept
    return sum(sizes.values())


def run(mics: int, top_t: float, batch: int, rounds: int) -> list[dict]:
    """Rows of the result for one number of microphones and one T."""
    generator = torch.Generator().manual_seed(mics)
    torch.manual_seed(0)
    number = mics * (mics - 1)
    inputs = (
        torch.randn(batch, 2 * mics, WIDTH, generator=generator),
        torch.randn(batch, number, ROW, generator=generator),
        torch.rand(batch, number // 2, generator=generator),
    )
    streams = {way: PairStream(way, top_t) for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for stream in streams.values():
        step(stream, inputs)
    for turn in range(rounds):
        for way in WAYS[:: -1 if turn % 2 else 1]:
            started = time.process_time()
            step(streams[way], inputs)
            times[way].append(time.process_time() - started)
    counted = {way: flops(streams[way], inputs) for way in WAYS}
    memory = {way: held(streams[way], inputs) for way in WAYS}
    rows = []
    for way in WAYS[1:]:
        ratio = np.divide(times["dense"], times[way])
        rows.append(
            {
                "mics": mics,
                "pairs": number,
                "top_t": top_t,
                "way": way,
                "gflop_per_frame": counted[way] / batch / 1e9,
                "flops: dense / way": counted["dense"] / counted[way],
                "memory: dense / way": memory["dense"] / memory[way],
                "mb_per_frame": memory[way] / batch / 1e6,
                "seconds_per_frame": min(times[way]) / batch,
                "min": float(ratio.min()),
                "median": float(np.median(ratio)),
                "max": float(ratio.max()),
                "rounds": rounds,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mics", type=int, nargs="+", default=[6, 11, 16, 32, 64])
    parser.add_argument("--top-t", type=float, nargs="+", default=[0.1, 0.3, 0.5])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if min(args.mics) < 2 or min(args.batch, args.rounds) < 1:
        parser.error("expected two microphones, one frame and one round at least")
    if not 0 < min(args.top_t) <= max(args.top_t) <= 1:
        parser.error("expected fractions above 0, up to 1")
    torch.set_num_threads(1)
    rows = [
        row
        for mics in args.mics
        for top_t in args.top_t
        for row in run(mics, top_t, args.batch, args.rounds)
    ]
    table = pd.DataFrame(rows)
    print("min, median, max: time of dense / time of this way")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    print("load of the machine (1, 5, 15 min):", *(f"{load:.2f}" for load in os.getloadavg()))
    if args.json:
        files.write_json(args.json, {"rows": rows, "provenance": provenance.stamp()})


if __name__ == "__main__":
    sys.exit(main())
