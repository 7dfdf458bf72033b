"""What an ArtifactStore must do, whatever is behind it: one suite for the fake, for one process, and for real Ray."""
