"""What a policy is measured by: win rates, drift of embeddings, scores of texts, lm-eval's benchmarks."""
