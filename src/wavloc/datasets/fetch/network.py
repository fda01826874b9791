"""How patiently files are downloaded."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Network:
    """Whether to download, and how often to retry."""

    offline: bool = False
    retries: int = 5  # per address
    backoff_s: float = 2.0  # before the first retry; doubled before each further one
    timeout_s: float = 30.0  # without receiving a byte
