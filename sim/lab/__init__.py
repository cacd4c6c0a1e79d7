"""Labs: a network built from a containerlab topology file, of namespaces or of containers, impaired by our
link emulator.

What lives here, by module: `units`, `impair`, `topology`, `overlay`, `expect`, `render`, `sketch` and `toml`
are pure (but for reading or writing a file); `netns`, `process`, `state`, `wire`, `namespaces`, `containers`,
`daemons`, `runner`, `acts`, `probe`, `goodput` and `check` do things to the machine. Called by
`overlayctl lab` (through `cli`), by the demo and by tests.

A link of a topology file is a wire between two nodes. Each of its two directions is a link of its own to
the overlay and to the link model; here it is called a way, and named ``node:interface->node:interface``.
"""
