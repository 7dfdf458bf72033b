"""The entry point of a cluster's machines and containers: `python -m RayServer head`, `storage`, `run` and `health`.

It starts Ray's processes by the command `ray start`, keeps them and DAME's actors running, and takes them down again.
It stores nothing and decides nothing about artifacts.
"""
