"""How long the imports take, each in a fresh interpreter."""

import subprocess
import sys


def importing(statement):
    """A workload that starts an interpreter five times for one statement."""

    def work():
        for _ in range(5):
            subprocess.run([sys.executable, "-c", statement], check=True)
        return 0.0

    return lambda: work


WORKLOADS = {"import": {"ours": importing("import minigen"), "numpy": importing("import numpy")}}
GATES = {("import", "numpy"): 1.6}
TOLERANCE = 0.0
