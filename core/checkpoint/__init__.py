"""The catalog kept in the store itself, so that the loss of its disk is not the loss of the names.

A checkpoint is a copy of the catalog, stored in chunks as an artifact is. Its manifest says which chunks make it up;
every storage node keeps the newest ones as small files, so that the storage directories alone are enough to find it.
"""
