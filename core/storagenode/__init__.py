"""The storage node: replicas on one disk, and what the NameNode is told of them. Knows neither ray nor a clock."""
