"""What studies of methods say: losses side by side, rounds beside their rivals, from outcomes alone."""
