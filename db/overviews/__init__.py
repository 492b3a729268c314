"""What the workbench's lists and pages show of sources, runs, data sets and policies: counts, samples, lineage."""
