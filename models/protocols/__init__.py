"""MT-Bench's and Arena-Hard's protocols: question files, answers graded or compared, scores."""
