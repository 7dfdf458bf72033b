"""The dashboard's panels: each a pure function from the snapshot to rows or lines, and a thin widget around it."""
