"""What you could use in a notebook with no server and no database: language models and the maths around them."""
