"""What lists and pages show of sources, queues, runs, data sets and policies: counts, samples, lineage."""
