"""Write the YAML of a volume from an issue form: ``python -m scripts.form FORM --name NAME``."""

import sys

from scripts.transfer.from_form import main

if __name__ == "__main__":
    sys.exit(main())
