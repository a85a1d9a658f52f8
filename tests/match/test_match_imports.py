"""What a job of matching imports before it knows whether there is anything to do."""

import subprocess
import sys


def test_jobs_of_matching_start_without_the_statistics_of_scipy():
    """Half a second of each; a wave of new layers starts one for every chunk that was there."""
    code = "import sys, scripts.match.match_pairs, scripts.match.derive_pairs\n"
    code += "print('scipy.stats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
