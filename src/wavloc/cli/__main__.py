"""`python -m wavloc.cli`."""

import sys

from wavloc.cli import main

sys.exit(main())
