"""When motion capture begins in the audio: what a start signal says, and what the sound says.

The shape of the start signal is not documented, and it can be missing or belong to another take. So
the delays between the microphones, which the positions predict, decide.
"""

import dataclasses

import numpy as np

from wavloc import audio
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.takes import trajectory
from wavloc.geometry import distances, max_lag, pairs

STEP_S, FINE_S = 0.02, 0.001  # between offsets that are tried, and near the best of them
NEAR_S = 0.05  # offsets this close are not told apart: the sound is no better clock than a signal
BAND_HZ = (300.0, 4000.0)
MOMENTS, WINDOW, OVERSAMPLE = 200, 2048, 4
GAP_S = 0.5  # without a position that is bridged, or two steps of a slow capture
FEWEST = 8  # moments that an offset is judged by, at least
QUIET_DB = 30.0  # moments this far below the loud ones say nothing
CLEARLY, SURE = 1.1, 4.0  # a better offset: so many times as coherent, and by so many deviations
MOVED_M = 0.1  # an offset that moves the labels by less on average is no other answer


def pulse(sync: np.ndarray, rate: int) -> float | None:
    """Time in seconds of the start signal in a sync channel (n,); None if there is none.

    That is where the channel first leaves its level, its median, by half of its largest deviation:
    a pulse, or the first of a train. A channel that begins away from that level is a step.
    """
    deviation = np.abs(sync - np.median(sync))
    if not deviation.max() > 0:
        return None
    high = deviation > deviation.max() / 2
    return int(np.argmax(high != high[0])) / rate


@dataclasses.dataclass
class Fit:
    """How well offsets (K,) of the capture fit the sound.

    coherence: mean GCC-PHAT of all pairs at the delays that the track predicts, averaged over the
    loud moments that have a position; 1 = perfectly coherent, 0 = unrelated. score: the same in
    standard deviations of the mean of so many unrelated moments. NaN where too few have a position.
    rows: (K, N) moment -> row of the positions, -1 = none.
    """

    offsets_s: np.ndarray
    coherence: np.ndarray
    score: np.ndarray
    rows: np.ndarray


class Sound:
    """The sound of the loudest moments of a take beside the positions of its track.

    audio: (M, n), mics: (M, 3); a microphone with NaN in either is left out. time_s: (T,) and
    track: (T, 3) of the capture, NaN = not seen. speed: of sound, m/s.
    """

    def __init__(
        self,
        sound: np.ndarray,
        mics: np.ndarray,
        time_s: np.ndarray,
        track: np.ndarray,
        speed: float,
    ):
        usable = np.isfinite(mics).all(axis=1) & np.isfinite(sound[:, 0])
        mics, sound = mics[usable], sound[usable]
        self.begin_s, self.end_s = float(time_s[0]), float(time_s[-1])
        grid = np.arange(self.begin_s, self.end_s + FINE_S / 2, FINE_S)
        gap_s = max(GAP_S, 2 * float(np.median(np.diff(time_s))))
        self.place = trajectory.at(grid, time_s, track, gap_s)
        self.known = np.isfinite(self.place).all(axis=1)
        distance = distances(self.place, mics)
        # What is heard at a time was sent when sound had not yet travelled the way.
        self.travel_s = float(distance[self.known].mean()) / speed if self.known.any() else 0.0
        self.arrival = (distance * (SAMPLE_RATE * OVERSAMPLE / speed)).astype(np.float32)
        self.first, self.second = pairs(len(mics)).T
        self.reach = (max_lag(mics, SAMPLE_RATE, speed) + 1) * OVERSAMPLE
        self.middle_s, self.gcc = _correlations(sound, self.first, self.second, self.reach)

    def fit(self, offsets_s: np.ndarray) -> Fit:
        """Compare the delays in the sound with those of each offset (K,) of the capture."""
        moments, pair = len(self.middle_s), np.arange(len(self.first))
        rows = np.full((len(offsets_s), moments), -1)
        values = np.full(rows.shape, np.nan)
        for k, offset in enumerate(offsets_s):
            sent_s = self.middle_s - self.travel_s - offset
            row = np.rint((sent_s - self.begin_s) / FINE_S).astype(int)
            inside = (row >= 0) & (row < len(self.place))
            seen = np.flatnonzero(inside & self.known[np.where(inside, row, 0)])
            rows[k, seen] = row[seen]
            lags = self._lags(row[seen])
            values[k, seen] = self.gcc[seen[:, None], pair, lags].mean(axis=1)
        count = np.isfinite(values).sum(axis=1)
        judged = count >= max(FEWEST, moments // 8)
        coherence = np.full(len(offsets_s), np.nan)
        coherence[judged] = np.nanmean(values[judged], axis=1)
        return Fit(offsets_s, coherence, coherence * np.sqrt(count) / self._spread(), rows)

    def _lags(self, rows: np.ndarray) -> np.ndarray:
        """Where among the lags of `gcc` rows (n,) of the positions put each pair: (n, P)."""
        arrival = self.arrival[rows]
        return np.rint(arrival[:, self.first] - arrival[:, self.second]).astype(int) + self.reach

    def _spread(self) -> float:
        """Standard deviation of a moment's coherence where sound and delays are unrelated."""
        rows = np.flatnonzero(self.known)
        lags = self._lags(rows[:: max(1, len(rows) // 97)])
        moment, pair = np.arange(len(self.gcc))[:, None, None], np.arange(len(self.first))
        return max(float(self.gcc[moment, pair, lags].mean(axis=-1).std()), 1e-6)

    def best(self, middle_s: float, reach_s: float) -> tuple[float, bool] | None:
        """The offset within ``reach_s`` of ``middle_s`` that fits best, and whether clearly.

        Clearly: every offset that would move the labels is beaten, and there is one. None where no
        offset can be judged.
        """
        # Others put all moments before or after the capture.
        first = max(middle_s - reach_s, self.middle_s[0] - self.travel_s - self.end_s)
        last = min(middle_s + reach_s, self.middle_s[-1] - self.travel_s - self.begin_s)
        steps = np.arange(np.ceil((first - middle_s) / STEP_S), (last - middle_s) // STEP_S + 1)
        fit = self.fit(middle_s + STEP_S * steps)
        if not np.isfinite(fit.score).any():
            return None
        top = int(np.nanargmax(fit.score))
        both = (fit.rows >= 0) & (fit.rows[top] >= 0)
        moved = np.linalg.norm(self.place[fit.rows] - self.place[fit.rows[top]], axis=-1)
        shared = np.maximum(both.sum(axis=1), 1)
        rival = (np.where(both, moved, 0).sum(axis=1) / shared > MOVED_M) | ~both.any(axis=1)
        rival &= np.isfinite(fit.score)
        beaten = _beats(fit.score[top], fit.coherence[top], fit.score, fit.coherence)
        near = fit.offsets_s[top] + np.arange(-2 * STEP_S, 2 * STEP_S + FINE_S / 2, FINE_S)
        fine = self.fit(near)
        offset_s = near[np.nanargmax(fine.coherence)]
        return float(offset_s), bool(rival.any() and beaten[rival].all())

    def contradicts(self, offset_s: float, better_s: float) -> bool:
        """Whether another offset fits so much better that this one is wrong."""
        if abs(offset_s - better_s) <= NEAR_S:
            return False
        fit = self.fit(np.array([offset_s, better_s]))
        if not np.isfinite(fit.score[0]):
            return True
        return bool(_beats(fit.score[1], fit.coherence[1], fit.score[0], fit.coherence[0]))

    def confirms(self, offset_s: float) -> bool:
        """Whether sound and positions belong together at an offset, be it the best or not."""
        return bool(self.fit(np.array([offset_s])).score[0] >= SURE)


def _beats(
    score: float, coherence: float, others: np.ndarray, other_coherence: np.ndarray
) -> np.ndarray:
    """Whether one offset fits clearly better than each of the others."""
    more = coherence > CLEARLY * np.maximum(other_coherence, 0)
    return more & (score - others >= SURE)


def _correlations(
    sound: np.ndarray, first: np.ndarray, second: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Middle in seconds (N,) and GCC-PHAT (N, P, lags) of the loudest moments of (M, n).

    ``reach`` lags on both sides of 0, in steps of 1 / `OVERSAMPLE` of a sample.
    """
    start = np.arange(0, sound.shape[1] - WINDOW + 1, WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(sound, WINDOW, axis=1)[:, start]
    power = np.square(windows).mean(axis=(0, 2))
    loud = np.flatnonzero(~audio.silent(power, QUIET_DB))
    loud = np.sort(loud[np.argsort(power[loud])[::-1][:MOMENTS]])
    hz = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    band = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])
    spectra = np.fft.rfft(windows[:, loud] * np.hanning(WINDOW)) * band  # (M, N, B)
    spectra /= np.maximum(np.abs(spectra), 1e-12)
    size = WINDOW * OVERSAMPLE
    gcc = np.empty((len(loud), len(first), 2 * reach + 1), np.float32)
    for k in range(len(loud)):
        cross = spectra[first, k] * spectra[second, k].conj()
        whole = np.fft.irfft(cross, size) * (size / (2 * band.sum()))
        gcc[k] = np.concatenate([whole[:, -reach:], whole[:, : reach + 1]], axis=1)
    return (start[loud] + WINDOW / 2) / SAMPLE_RATE, gcc
