"""Show how far volumes have come: ``python -m scripts.status config/volumes/*.yaml``."""

import sys

from scripts.report.status import main

if __name__ == "__main__":
    sys.exit(main())
