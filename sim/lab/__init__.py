"""Labs: a network of namespaces built from a containerlab topology file, impaired by our link emulator.

What lives here, by module: `topology`, `impair`, `units`, `overlay`, `expect` read files (pure); `netns`,
`process`, `state`, `emulator`, `daemons`, `runner`, `check`, `probe` do things to the machine. Called by
`overlayctl lab` (through `cli`), by the demo and by tests.
"""
