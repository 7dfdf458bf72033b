"""DAME's tests: by folder, from pure units to real clusters."""
