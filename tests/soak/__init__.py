"""The soak: every act killed at every commit and rename and at random moments, then given again and compared."""
