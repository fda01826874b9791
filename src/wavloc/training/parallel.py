"""Several processes that train one network together, through torch.distributed.

Every process holds all data and draws the same batch; it computes the features and the gradient of
its share of the frames, and the gradients are averaged. Started by torch's own launcher:

    torchrun --nproc-per-node 2 --no-python wavloc train ...
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn

from wavloc.errors import InputError


@dataclasses.dataclass(frozen=True)
class Group:
    """This process among ``size``; alone, every method does nothing."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def joined(device: torch.device) -> Group:
        """Join the group named in the launcher's environment; without one, work alone."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return Group()
        if not distributed.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)  # objects pass through it too
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return Group(distributed.get_rank(), size)

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, index: Tensor) -> Tensor:
        """This process's part of a batch (B,); all parts are equally long."""
        if len(index) % self.size:
            raise InputError(
                f"a batch of {len(index)} frames, expected a multiple of the {self.size} processes"
            )
        return index.chunk(self.size)[self.rank]

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Mean over the processes, in place; one message for all tensors."""
        real = [tensor for tensor in tensors if tensor.is_floating_point()]
        if self.size == 1 or not real:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in real])
        distributed.all_reduce(flat)
        flat /= self.size
        parts = flat.split([tensor.numel() for tensor in real])
        with torch.no_grad():
            for tensor, part in zip(real, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def average_gradients(self, network: nn.Module) -> None:
        """As `average`; a parameter that no frame of this process used has a gradient of zero."""
        if self.size == 1:
            return
        for parameter in network.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.average(p.grad for p in network.parameters() if p.grad is not None)

    def summed(self, metrics: dict[str, float]) -> dict[str, float]:
        """Sums over the processes, the same in each."""
        if self.size == 1:
            return metrics
        parts: list[dict[str, float]] = [{}] * self.size
        distributed.all_gather_object(parts, metrics)
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: sum(part.get(name, 0.0) for part in parts) for name in names}

    def agreed(self, decision: bool) -> bool:
        """The decision of the first process."""
        if self.size == 1:
            return decision
        sent = [decision]
        distributed.broadcast_object_list(sent, src=0)
        return sent[0]

    def leave(self) -> None:
        """Leave the group; nothing is sent any more."""
        if self.size > 1:
            distributed.destroy_process_group()

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            distributed.barrier()
