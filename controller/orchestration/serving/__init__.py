"""The Kubernetes API over the objects' store, as unmodified kubectl speaks it. I/O.

`api` takes requests apart and calls `verbs`, which read and write objects; `watching` streams what changes;
`discovery` and `documents` tell what there is; `server` runs it all beside a controller, `mirror` shows the
registry's nodes in it.
"""
