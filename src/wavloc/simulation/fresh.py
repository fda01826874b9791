"""Fresh rooms: a new source position and wall absorption for every training example.

The dry sound of stored simulated frames is rendered again in every training step, on the training
device.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.simulation import image_source, rooms

WALL_M, MIC_M = 0.3, 0.4  # least distance of a source to walls and microphones
TRIES = 16  # candidate positions per source; the first far enough from the microphones is taken


@dataclasses.dataclass(frozen=True)
class Rooms:
    """The room of some frames, rendered anew with random wall absorption and source positions.

    room (3,) in metres; origin (3,): room coordinates of the frames' (0, 0, 0); t60_s: bounds of
    the uniform nominal T60 in seconds.
    """

    room: np.ndarray
    origin: np.ndarray
    t60_s: tuple[float, float]
    sample_rate: int
    speed_of_sound: float

    @classmethod
    def of(cls, frames: Frames, t60_s: tuple[float, float]) -> "Rooms":
        """The room that the frames were simulated in; `InputError` if it is not known."""
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
        """Audio (B, 1 + M, samples), first the source's own, and source positions (B, 3).

        dry (B, L): the returned samples end `DELAY` samples before its end; earlier samples
        contribute reverberation, and silence precedes them. mics (B, M, 3) and the positions are
        in metres, in the coordinates of the frames.
        """
        origin = torch.as_tensor(self.origin, dtype=mics.dtype, device=mics.device)
        source = self._source_positions(mics + origin, generator)
        low, high = self.t60_s
        draw = torch.rand(len(dry), generator=generator, device=dry.device)
        t60_s = (low + (high - low) * draw).cpu().numpy()
        absorption, order = rooms.sabine(self.room, t60_s, self.speed_of_sound)
        at_mics = self._render(dry, mics + origin, source, absorption, order, samples)
        begin = dry.shape[1] - rooms.DELAY - samples
        at_source = dry[:, None, begin : begin + samples]
        return torch.cat([at_source, at_mics], dim=1), source - origin

    def _render(
        self,
        dry: Tensor,
        mics: Tensor,
        source: Tensor,
        absorption: np.ndarray,
        order: np.ndarray,
        samples: int,
    ) -> Tensor:
        """Audio at the microphones (B, M, samples), in batches that fit into memory."""
        constants = self.sample_rate, self.speed_of_sound
        length = dry.shape[1]
        padded = torch.nn.functional.pad(dry, (samples - 1, 0))
        most = image_source.largest_batch(
            self.room, mics.shape[1], 0, *constants, length, dry.device.type
        )
        audio = dry.new_empty(len(dry), mics.shape[1], samples)
        absorption_on = torch.as_tensor(absorption, device=dry.device)
        order_on = torch.as_tensor(order, device=dry.device)
        by_order = torch.as_tensor(np.argsort(order, kind="stable"), device=dry.device)
        for index in by_order.split(most):
            part = (mics[index], source[index], absorption_on[index], order_on[index])
            rir = image_source.impulse_responses(self.room, *part, *constants, length)
            audio[index] = image_source.convolve(rir, padded[index])
        return audio

    def _source_positions(self, mics: Tensor, generator: torch.Generator) -> Tensor:
        """Positions (B, 3) uniform in the room, away from walls and microphones (B, M, 3)."""
        size = (len(mics), TRIES, 3)
        room = torch.as_tensor(self.room, dtype=mics.dtype, device=mics.device)
        draw = torch.rand(size, generator=generator, device=mics.device, dtype=mics.dtype)
        places = WALL_M + (room - 2 * WALL_M) * draw
        far = (torch.cdist(places, mics) >= MIC_M).all(-1)
        return places[torch.arange(len(mics), device=mics.device), far.byte().argmax(1)]
