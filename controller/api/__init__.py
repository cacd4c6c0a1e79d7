"""The HTTP API of the controller: FastAPI over a loopback port or a Unix socket, admin token, OpenAPI
committed in docs. I/O.
"""
