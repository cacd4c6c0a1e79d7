"""What a mesh would have gained on a recorded trace: the shipped predictor and planner, replayed.

`python -m controller.evaluate` reads a file (`trace`), walks through it (`replay`) without ever looking
ahead, and keeps books on what the routes came to (`account`), beside cheap choosers (`baselines`).
"""
