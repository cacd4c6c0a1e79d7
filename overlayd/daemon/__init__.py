"""All I/O on an edge host, in Python: the processes of engine and agent, host set-up, configuration, sockets.

Decisions are made elsewhere: by `overlayd.agent` (pure) and by the native engine. Called by `overlayd.cli`.
"""
