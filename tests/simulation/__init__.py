"""The code that ships, around simulated disks, network and time: one process, one seed."""
