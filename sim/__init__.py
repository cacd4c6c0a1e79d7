"""The engine, the agent and the controller in virtual time; every run is a function of its seed."""
