"""The NameNode: pure but for its catalog's file. No ray, no threads, no clock, no unseeded luck."""

from core.namenode.catalog import Catalog
from core.namenode.namenode import NameNode

__all__ = ["Catalog", "NameNode"]
