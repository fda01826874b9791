"""A new source position and new walls for every training example, on the device; torch.

What the dataset's extension of simulated frames stores is drawn anew in every step here, from the
dry sound of the stored frames.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.simulation import image_source, rooms

WALL_M, MIC_M = 0.3, 0.4  # how near a source comes to walls and microphones
TRIES = 16  # places of a source, of which the first far enough from the microphones is taken


@dataclasses.dataclass(frozen=True)
class Rooms:
    """The room of some frames, to be heard with other walls and sources elsewhere.

    room (3,) in metres; origin (3,): room coordinates of the frames' (0, 0, 0); T60 in seconds,
    nominal and uniform between the two.
    """

    room: np.ndarray
    origin: np.ndarray
    t60_s: tuple[float, float]
    sample_rate: int
    speed_of_sound: float

    @classmethod
    def of(cls, frames: Frames, t60_s: tuple[float, float]) -> Rooms:
        """The room that the frames were simulated in; `InputError` if they do not tell."""
        if not 0 <= t60_s[0] <= t60_s[1]:
            raise InputError(
                f"fresh_t60_low_s, fresh_t60_high_s: {t60_s[0]} and {t60_s[1]} s, expected "
                "0 <= low <= high"
            )
        room = np.asarray(frames.meta.get("room", []), float)
        if room.shape != (3,) or not (room > 2 * WALL_M).all():
            raise InputError(
                f"fresh rooms need training frames of one simulated room; their meta.json says "
                f"room {room.tolist()}, expected three lengths above {2 * WALL_M} m"
            )
        if not np.isfinite(frames.source_audio).all():
            raise InputError("fresh rooms need the source's signal in every training frame")
        if frames.audio.shape[-1] < FRAME_SAMPLES + rooms.DELAY:
            raise InputError(
                f"fresh rooms need at least {FRAME_SAMPLES + rooms.DELAY} stored samples a frame, "
                f"got {frames.audio.shape[-1]}; give the dataset a margin"
            )
        origin = np.asarray(frames.meta.get("origin", np.zeros(3)), float)
        return cls(room, origin, t60_s, frames.sample_rate, frames.speed_of_sound)

    @torch.no_grad()
    def simulate(
        self, dry: Tensor, mics: Tensor, samples: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Sound (B, 1 + M, samples), the source's first, and the positions (B, 3) of the sources.

        dry (B, L): the wanted samples end half a pulse before its end, what is before them
        reverberates in them, and before that there was silence. mics (B, M, 3) as in the frames.
        """
        origin = torch.as_tensor(self.origin, dtype=mics.dtype, device=mics.device)
        source = self._places(mics + origin, generator)
        low, high = self.t60_s
        draw = torch.rand(len(dry), generator=generator, device=dry.device)
        t60_s = (low + (high - low) * draw).cpu().numpy()
        absorption, order = rooms.sabine(self.room, t60_s, self.speed_of_sound)
        heard = self._heard(dry, mics + origin, source, absorption, order, samples)
        begin = dry.shape[1] - rooms.DELAY - samples
        emitted = dry[:, None, begin : begin + samples]
        return torch.cat([emitted, heard], dim=1), source - origin

    def _heard(
        self,
        dry: Tensor,
        mics: Tensor,
        source: Tensor,
        absorption: np.ndarray,
        order: np.ndarray,
        samples: int,
    ) -> Tensor:
        """Sound at the microphones (B, M, samples), as many examples at a time as memory allows."""
        constants = self.sample_rate, self.speed_of_sound
        length = dry.shape[1]
        before = torch.nn.functional.pad(dry, (samples - 1, 0))
        most = image_source.largest_batch(
            self.room, mics.shape[1], 0, *constants, length, dry.device.type
        )
        heard = dry.new_empty(len(dry), mics.shape[1], samples)
        for at in torch.as_tensor(np.argsort(order, kind="stable"), device=dry.device).split(most):
            walls = (torch.as_tensor(part)[at.cpu()].to(dry.device) for part in (absorption, order))
            response = image_source.impulse_responses(
                self.room, mics[at], source[at], *walls, *constants, length
            )
            heard[at] = image_source.convolve(response, before[at])
        return heard

    def _places(self, mics: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform in the room (B, 3), away from walls and microphones (B, M, 3)."""
        size = (len(mics), TRIES, 3)
        room = torch.as_tensor(self.room, dtype=mics.dtype, device=mics.device)
        draw = torch.rand(size, generator=generator, device=mics.device, dtype=mics.dtype)
        places = WALL_M + (room - 2 * WALL_M) * draw
        far = (torch.cdist(places, mics) >= MIC_M).all(-1)
        return places[torch.arange(len(mics), device=mics.device), far.byte().argmax(1)]
