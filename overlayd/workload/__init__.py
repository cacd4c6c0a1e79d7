"""What runs on a host besides the mesh: its pods, kept as the controller decided also while it is away.

`machine` and what it stands on (`messages`, `lives`, `leases`, `probes`, `backoff`, `status`,
`environment`, `limits`) are pure; the other modules do the I/O. A unit of its own (`unit`): the mesh runs
without it, and imports none of it.
"""
