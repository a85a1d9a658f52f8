"""Show many volumes on one page: ``python -m scripts.overview config/volumes/*.yaml``."""

import sys

from scripts.report.overview import main

if __name__ == "__main__":
    sys.exit(main())
