"""Global control: registry, telemetry, prediction, path computation and the API of the mesh.

Pure: `topology`, `prediction`, `planner`, `policy`, `enrolment`. I/O: `server`, `api`, `store`.
"""

import os

# Matrices here are small: more threads of BLAS would bring nothing and wait awake for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
