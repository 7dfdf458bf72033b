"""Whole clusters in one process, in virtual time, from one seed: the code that ships, around a simulated world.

    scheduler    virtual time, and tasks that may block in it
    threads      locks that tasks wait for in it
    network      messages between processes: late, lost, doubled, cut off
    disk         disks that forget what was not synced (filesystem, journal: how)
    catalog      a catalog whose transactions can crash or fail, with a replayed copy beside it
    processes    NameNode and storage nodes as processes that die at any call and come back
    client       the shipping client library over the simulated network
    oracle       what must be true, kept beside the cluster from the edits and the acknowledgements
    checks       disks and whole state compared with the oracle
    workloads    what clients do
    faults       what goes wrong, within what the promises cover
    plan         everything that is drawn from the seed before it begins
    world        all of it together; `run_seed` runs one seed

`python -m tests.simulation --help` runs many.
"""
