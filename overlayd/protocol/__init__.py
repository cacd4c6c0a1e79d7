"""Messages between processes and their encodings: agent and engine, agent and controller, agent and command
line. No I/O.
"""
