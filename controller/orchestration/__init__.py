"""Applications on the mesh: a layer of its own above the controller, which the mesh does not import.

`objects` says what there is and what may be done to it (pure), `store` keeps it, `serving` speaks
Kubernetes' API over both. `placement` says where apps go (pure). Only the command line starts it, and only
where ``[orchestration]`` stands in ``controller.toml``.
"""
