"""Write the YAML of a new volume from the headers: ``python -m scripts.new DAT_ROOT``."""

import sys

from scripts.transfer.new_volume import main

if __name__ == "__main__":
    sys.exit(main())
