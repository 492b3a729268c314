"""What lies near what: nearly the same prompts, benchmarks in the data, pairs labelled already. Arrays and texts in."""
