"""The pages for who leads: the loop, what it holds, and the buttons that move it on."""
