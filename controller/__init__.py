"""Global control: registry, telemetry, prediction, path computation and the API of the mesh.

Pure: `topology`, `prediction`, `planner`, `policy`, `enrolment`. I/O: `server`, `api`, `store`.
"""
