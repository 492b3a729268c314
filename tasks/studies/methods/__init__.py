"""Studies of methods: losses side by side, rounds beside their rivals, all from one start."""
