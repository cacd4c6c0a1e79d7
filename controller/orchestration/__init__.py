"""Applications on the mesh: a layer of its own above the controller, which the mesh does not import.

`objects` says what there is and what may be done to it (pure), `store` keeps it, `serving` speaks
Kubernetes' API over both. Only the command line starts it, and only where ``[orchestration]`` stands in
``controller.toml``.
"""
